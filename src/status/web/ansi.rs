//! A build's output as HTML: colours as classes, progress folded to its last state, every other command dropped.

use std::fmt::Write;

use anstyle_parse::{DefaultCharAccumulator, Params, Parser, Perform};

use crate::text::is_unprintable;

/// The lines of an output, each as HTML without its end.
pub fn lines(output: &[u8]) -> Vec<String> {
    let mut painter = Painter::default();
    let mut parser = Parser::<DefaultCharAccumulator>::new();
    for byte in String::from_utf8_lossy(output).bytes() {
        parser.advance(&mut painter, byte);
    }
    if !painter.line.is_empty() {
        painter.end_line();
    }
    painter.lines
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own in a terminal")]
struct Look {
    front: Option<u8>,
    back: Option<u8>,
    bold: bool,
    dim: bool,
    italic: bool,
    underlined: bool,
    inverse: bool,
}

#[derive(Default)]
struct Painter {
    lines: Vec<String>,
    line: Vec<(Look, String)>,
    look: Look,
    /// A carriage return has come: what is printed next replaces the line.
    returned: bool,
}

impl Painter {
    fn end_line(&mut self) {
        let mut html = String::new();
        for (look, text) in self.line.drain(..) {
            let classes = look.classes();
            if classes.is_empty() {
                escape(&mut html, &text);
            } else {
                let _ = write!(html, "<span class=\"{classes}\">");
                escape(&mut html, &text);
                html.push_str("</span>");
            }
        }
        self.lines.push(html);
        self.returned = false;
    }

    fn set(&mut self, params: &Params) {
        let look = &mut self.look;
        let groups: Vec<&[u16]> = params.iter().collect();
        let mut at = 0;
        while let Some(group) = groups.get(at) {
            at += 1;
            match group.first().copied().unwrap_or(0) {
                0 => *look = Look::default(),
                1 => look.bold = true,
                2 => look.dim = true,
                3 => look.italic = true,
                4 => look.underlined = group.get(1) != Some(&0),
                7 => look.inverse = true,
                22 => (look.bold, look.dim) = (false, false),
                23 => look.italic = false,
                24 => look.underlined = false,
                27 => look.inverse = false,
                code @ (38 | 48) => {
                    // 38;5;n and 38;2;r;g;b, or the same with colons in one group.
                    let rest: Vec<u16> = match group.len() {
                        1 => groups[at..].iter().filter_map(|group| group.first().copied()).collect(),
                        _ => group[1..].to_vec(),
                    };
                    let (colour, taken) = extended(&rest, group.len() > 1);
                    if group.len() == 1 {
                        at += taken;
                    }
                    if code == 38 { look.front = colour } else { look.back = colour }
                }
                39 => look.front = None,
                49 => look.back = None,
                code @ 30..=37 => look.front = small(code - 30),
                code @ 40..=47 => look.back = small(code - 40),
                code @ 90..=97 => look.front = small(code - 82),
                code @ 100..=107 => look.back = small(code - 92),
                _ => {}
            }
        }
    }
}

fn small(number: u16) -> Option<u8> {
    u8::try_from(number).ok()
}

/// A colour of 256 or of all, as the nearest of 16; and how many parameters it took.
fn extended(rest: &[u16], has_colons: bool) -> (Option<u8>, usize) {
    match rest {
        [5, number, ..] => (small(*number).map(of_256), 2),
        // With colons a colour space may stand before the three.
        [2, _, r, g, b, ..] if has_colons => (Some(nearest(*r, *g, *b)), 5),
        [2, r, g, b, ..] => (Some(nearest(*r, *g, *b)), 4),
        _ => (None, rest.len()),
    }
}

fn of_256(number: u8) -> u8 {
    match number {
        0..=15 => number,
        16..=231 => {
            let level = |step: u8| [0, 95, 135, 175, 215, 255][usize::from(step % 6)];
            let cube = number - 16;
            nearest(level(cube / 36), level(cube / 6), level(cube))
        }
        _ => {
            let grey = u16::from(number - 232) * 10 + 8;
            nearest(grey, grey, grey)
        }
    }
}

/// By which of the three channels are lit, and how brightly.
fn nearest(r: u16, g: u16, b: u16) -> u8 {
    let most = r.max(g).max(b);
    let least = r.min(g).min(b);
    if most.saturating_sub(least) < 32 {
        return match most {
            0..48 => 0,
            48..144 => 8,
            144..224 => 7,
            _ => 15,
        };
    }
    let lit = |channel: u16| u8::from(u32::from(channel) * 2 > u32::from(most) + u32::from(least));
    let hue = lit(r) | lit(g) << 1 | lit(b) << 2;
    if most > 191 { hue + 8 } else { hue }
}

impl Look {
    fn classes(self) -> String {
        let mut classes = Vec::new();
        classes.extend(self.front.map(|colour| format!("f{colour}")));
        classes.extend(self.back.map(|colour| format!("b{colour}")));
        for (is_set, class) in [
            (self.bold, "bold"),
            (self.dim, "dim"),
            (self.italic, "it"),
            (self.underlined, "ul"),
            (self.inverse, "inv"),
        ] {
            classes.extend(is_set.then(|| class.to_string()));
        }
        classes.join(" ")
    }
}

impl Perform for Painter {
    fn print(&mut self, c: char) {
        if std::mem::take(&mut self.returned) {
            self.line.clear();
        }
        let c = if is_unprintable(c) { char::REPLACEMENT_CHARACTER } else { c };
        match self.line.last_mut() {
            Some((look, text)) if *look == self.look => text.push(c),
            _ => self.line.push((self.look, c.to_string())),
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.end_line(),
            b'\r' => self.returned = true,
            b'\t' => self.print('\t'),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: u8) {
        if action == b'm' && !ignore && intermediates.is_empty() {
            self.set(params);
        }
    }
}

fn escape(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn colours_become_classes_and_all_else_text_or_nothing() {
        for (output, html) in [
            ("a\nb", &["a", "b"][..]),
            ("a\n\nb\n", &["a", "", "b"]),
            ("a\r\nb\r\n", &["a", "b"]),
            (" 1%\r 50%\r100%\ndone", &["100%", "done"]),
            ("\x1b[31mr\x1b[1mb\x1b[0mn", &["<span class=\"f1\">r</span><span class=\"f1 bold\">b</span>n"]),
            (
                "\x1b[31mover\nlines\x1b[m.",
                &["<span class=\"f1\">over</span>", "<span class=\"f1\">lines</span>."],
            ),
            (
                "\x1b[38;5;196mx\x1b[48;2;0;0;200my",
                &["<span class=\"f9\">x</span><span class=\"f9 b12\">y</span>"],
            ),
            ("\x1b[38:2::255:0:0mx", &["<span class=\"f9\">x</span>"]),
            ("\x1b[91;104mx", &["<span class=\"f9 b12\">x</span>"]),
            ("<script>&\"", &["&lt;script&gt;&amp;&quot;"]),
            ("\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07", &["link"]),
            ("\x1b[2J\x1b[?25la\x1bcb\x08\x07", &["ab"]),
            ("\u{202e}x", &["\u{fffd}x"]),
            ("", &[]),
        ] {
            assert_eq!(lines(output.as_bytes()), html, "{output:?}");
        }
        assert_eq!(lines(b"\xff\xfe"), ["\u{fffd}\u{fffd}"]);
    }
}
