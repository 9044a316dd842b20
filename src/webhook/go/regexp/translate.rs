//! One pattern, from RE2's dialect into the crate's.

use std::fmt::Write;

use super::{
    class, escape,
    input::{Input, Translated},
};

/// Deeper groups are an error.
pub const MAX_DEPTH: u32 = 500;
/// The most that `{n,m}` may ask for, nested ones multiplied.
const MAX_REPEAT: u32 = 1000;

/// An open group.
struct Group {
    /// What can be repeated: where it ends in the output, and what repetitions are in it, multiplied.
    last: Option<(usize, u32)>,
    /// The greatest product of repetitions in it.
    repeats: u32,
}

impl Group {
    fn new() -> Self {
        Self { last: None, repeats: 1 }
    }
}

/// `pattern` in the crate's dialect, or what is wrong with it.
pub fn translate(pattern: &str) -> Translated<String> {
    let mut translation = Translation {
        input: Input { rest: pattern },
        out: String::new(),
        groups: vec![Group::new()],
        repeated: false,
    };
    while let Some(c) = translation.input.next() {
        translation.step(c)?;
    }
    match translation.groups.len() {
        1 => Ok(translation.out),
        _ => Err("missing closing )"),
    }
}

struct Translation<'p> {
    input: Input<'p>,
    out: String,
    groups: Vec<Group>,
    /// There is a repetition right before us: another must not follow.
    repeated: bool,
}

impl Translation<'_> {
    /// `c` has been taken.
    fn step(&mut self, c: char) -> Translated<()> {
        if let '*' | '+' | '?' = c {
            return self.repeat(c.to_string(), None);
        }
        if c == '{'
            && let Some((counts, min, max)) = counts(self.input.rest)
        {
            self.input.rest = &self.input.rest[counts.len() + 1..];
            let most = max.unwrap_or(min);
            if min > MAX_REPEAT || most > MAX_REPEAT || min > most {
                return Err("invalid repeat count");
            }
            return self.repeat(format!("{{{counts}}}"), Some(most));
        }
        self.repeated = false;
        match c {
            '(' => return self.open(),
            ')' => return self.close(),
            '|' => {
                self.out.push('|');
                self.group().last = None;
            }
            '[' => {
                let class = class::translate(&mut self.input)?;
                self.atom(&class);
            }
            '\\' if self.input.take("Q") => self.verbatim(),
            '\\' => {
                let atom = escape::translate(&mut self.input)?;
                self.atom(&atom);
            }
            '.' | '^' | '$' => self.atom(&c.to_string()),
            c => self.atom(&regex::escape(&c.to_string())),
        }
        Ok(())
    }

    fn group(&mut self) -> &mut Group {
        let innermost = self.groups.len() - 1;
        &mut self.groups[innermost]
    }

    /// Something that a repetition can stand behind.
    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.group().last = Some((self.out.len(), 1));
    }

    /// `*`, `+`, `?` or counts, and a `?` behind it that makes it reluctant.
    fn repeat(&mut self, mut operator: String, most: Option<u32>) -> Translated<()> {
        if self.input.take("?") {
            operator.push('?');
        }
        if self.repeated {
            return Err("invalid nested repetition operator");
        }
        let (end, inside) = self.group().last.ok_or("missing argument to repetition operator")?;
        let repeats = inside * most.unwrap_or(1).max(1);
        if repeats > MAX_REPEAT {
            return Err("invalid repeat count");
        }
        // Not at the end of the output if flags stand in between.
        self.out.insert_str(end, &operator);
        let group = self.group();
        group.last = Some((end + operator.len(), repeats));
        group.repeats = group.repeats.max(repeats);
        self.repeated = true;
        Ok(())
    }

    /// Groups do not capture: nobody asks what they caught, so the same name may be given twice.
    fn open(&mut self) -> Translated<()> {
        let mut flags = String::new();
        let rest = self.input.rest;
        let lookbehind = rest.starts_with("?<=") || rest.starts_with("?<!");
        let mut starts_name = |mark: &str| rest.len() > mark.len() && self.input.take(mark);
        if starts_name("?P<") || (!lookbehind && starts_name("?<")) {
            self.name()?;
        } else if self.input.take("?") {
            flags = self.flags()?;
            if self.input.next() == Some(')') {
                if !flags.is_empty() {
                    let _ = write!(self.out, "(?{flags})");
                }
                return Ok(());
            }
        }
        if self.groups.len() > MAX_DEPTH as usize {
            return Err("expression nests too deeply");
        }
        self.groups.push(Group::new());
        let _ = write!(self.out, "(?{flags}:");
        Ok(())
    }

    fn name(&mut self) -> Translated<()> {
        let is_name =
            |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        self.input.take_to('>').filter(is_name).map(drop).ok_or("invalid named capture")
    }

    /// What stands between `(?` and the next `:` or `)`. The crate minds a flag that is given twice; here one
    /// that is switched on and off is off.
    fn flags(&mut self) -> Translated<String> {
        let (mut on, mut off) = (String::new(), String::new());
        let mut negated = false;
        loop {
            match self.input.peek() {
                Some(':' | ')') if !negated || !off.is_empty() => break,
                Some('-') if !negated => negated = true,
                Some(c @ ('i' | 'm' | 's' | 'U')) => {
                    let flags = if negated { &mut off } else { &mut on };
                    if !flags.contains(c) {
                        flags.push(c);
                    }
                }
                _ => return Err("invalid or unsupported Perl syntax"),
            }
            self.input.next();
        }
        on.retain(|c| !off.contains(c));
        Ok(if off.is_empty() { on } else { format!("{on}-{off}") })
    }

    fn close(&mut self) -> Translated<()> {
        if self.groups.len() == 1 {
            return Err("unexpected )");
        }
        self.out.push(')');
        if let Some(closed) = self.groups.pop() {
            let end = self.out.len();
            let group = self.group();
            group.last = Some((end, closed.repeats));
            group.repeats = group.repeats.max(closed.repeats);
        }
        Ok(())
    }

    /// What stands between `\Q` and `\E`, or the end.
    fn verbatim(&mut self) {
        while !self.input.take("\\E") {
            let Some(c) = self.input.next() else { return };
            self.atom(&regex::escape(&c.to_string()));
        }
    }
}

/// `{n}`, `{n,}` or `{n,m}` behind the brace: what stands between the braces, and the numbers; other braces stand for
/// themselves. Too large a number is larger than any limit.
fn counts(rest: &str) -> Option<(&str, u32, Option<u32>)> {
    let (inside, _) = rest.split_once('}')?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        (is_number && !leading_zero).then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (min, max) = match inside.split_once(',') {
        None => (number(inside)?, number(inside)),
        Some((min, "")) => (number(min)?, None),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((inside, min, max))
}
