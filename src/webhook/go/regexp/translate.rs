//! One pattern, from RE2's dialect into the crate's.

use std::fmt::Write;

use super::{class, escape, input::Input};

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

/// `pattern` in the crate's dialect, or what is wrong with it in RE2's.
pub fn translate(pattern: &str) -> Result<String, String> {
    let mut translation = Translation {
        input: Input::new(pattern),
        out: String::new(),
        groups: vec![Group::new()],
        repeated: None,
    };
    while let Some(c) = translation.input.peek() {
        translation.step(c)?;
    }
    match translation.groups.len() {
        1 => Ok(translation.out),
        _ => Err(format!("missing closing ): `{pattern}`")),
    }
}

struct Translation<'p> {
    input: Input<'p>,
    out: String,
    groups: Vec<Group>,
    /// Where the repetition right before us started in the pattern: another must not follow.
    repeated: Option<usize>,
}

impl Translation<'_> {
    fn step(&mut self, c: char) -> Result<(), String> {
        let start = self.input.position();
        if let '*' | '+' | '?' = c {
            self.input.next();
            return self.repeat(start, &c.to_string(), None);
        }
        if c == '{'
            && let Some((min, max)) = counts(self.input.rest())
        {
            while self.input.next() != Some('}') {}
            let operator = self.input.since(start).to_owned();
            let most = max.unwrap_or(min);
            if min > MAX_REPEAT || most > MAX_REPEAT || min > most {
                return Err(format!("invalid repeat count: `{operator}`"));
            }
            return self.repeat(start, &operator, Some(most));
        }
        self.repeated = None;
        match c {
            '(' => return self.open(start),
            ')' => return self.close(),
            '|' => {
                self.input.next();
                self.out.push('|');
                self.group().last = None;
            }
            '[' => {
                let class = class::translate(&mut self.input)?;
                self.atom(&class);
            }
            '\\' if self.input.take("\\Q") => self.verbatim(),
            '\\' => {
                let atom = escape::translate(&mut self.input)?;
                self.atom(&atom);
            }
            '.' | '^' | '$' => {
                self.input.next();
                self.atom(&c.to_string());
            }
            c => {
                self.input.next();
                self.atom(&regex::escape(&c.to_string()));
            }
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
    fn repeat(&mut self, start: usize, operator: &str, most: Option<u32>) -> Result<(), String> {
        let mut operator = operator.to_owned();
        if self.input.take("?") {
            operator.push('?');
        }
        if let Some(first) = self.repeated {
            return Err(format!("invalid nested repetition operator: `{}`", self.input.since(first)));
        }
        let Some((end, inside)) = self.group().last else {
            return Err(format!("missing argument to repetition operator: `{operator}`"));
        };
        let repeats = match most {
            Some(most) => inside * most.max(1),
            None => inside,
        };
        if repeats > MAX_REPEAT {
            return Err(format!("invalid repeat count: `{operator}`"));
        }
        // Not at the end of the output if flags stand in between.
        self.out.insert_str(end, &operator);
        let group = self.group();
        group.last = Some((end + operator.len(), repeats));
        group.repeats = group.repeats.max(repeats);
        self.repeated = Some(start);
        Ok(())
    }

    /// Groups do not capture: nobody asks what they caught, so the same name may be given twice.
    fn open(&mut self, start: usize) -> Result<(), String> {
        self.input.next();
        let mut flags = String::new();
        let rest = self.input.rest();
        let lookbehind = rest.starts_with("?<=") || rest.starts_with("?<!");
        let mut starts_name = |mark: &str| rest.len() > mark.len() && self.input.take(mark);
        if starts_name("?P<") || (!lookbehind && starts_name("?<")) {
            self.name(start)?;
        } else if self.input.take("?") {
            flags = self.flags(start)?;
            if self.input.next() == Some(')') {
                if !flags.is_empty() {
                    let _ = write!(self.out, "(?{flags})");
                }
                return Ok(());
            }
        }
        if self.groups.len() > MAX_DEPTH as usize {
            return Err("expression nests too deeply".to_owned());
        }
        self.groups.push(Group::new());
        let _ = write!(self.out, "(?{flags}:");
        Ok(())
    }

    fn name(&mut self, start: usize) -> Result<(), String> {
        let rest = self.input.rest();
        let Some(end) = rest.find('>') else {
            return Err(format!("invalid named capture: `{}`", &self.input.pattern[start..]));
        };
        let name = &rest[..end];
        while self.input.next() != Some('>') {}
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("invalid named capture: `{}`", self.input.since(start)));
        }
        Ok(())
    }

    /// What stands between `(?` and the next `:` or `)`. The crate minds a flag that is given twice; here one
    /// that is switched on and off is off.
    fn flags(&mut self, start: usize) -> Result<String, String> {
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
                _ => {
                    self.input.next();
                    return Err(format!("invalid or unsupported Perl syntax: `{}`", self.input.since(start)));
                }
            }
            self.input.next();
        }
        on.retain(|c| !off.contains(c));
        Ok(if off.is_empty() { on } else { format!("{on}-{off}") })
    }

    fn close(&mut self) -> Result<(), String> {
        if self.groups.len() == 1 {
            return Err(format!("unexpected ): `{}`", self.input.pattern));
        }
        self.input.next();
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

/// The numbers in `{n}`, `{n,}` or `{n,m}`; other braces stand for themselves. Too large a number is larger
/// than any limit.
fn counts(rest: &str) -> Option<(u32, Option<u32>)> {
    let inside = rest.strip_prefix('{')?.split_once('}')?.0;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        (is_number && !leading_zero).then(|| digits.parse().unwrap_or(u32::MAX))
    };
    match inside.split_once(',') {
        None => number(inside).map(|n| (n, Some(n))),
        Some((min, "")) => number(min).map(|min| (min, None)),
        Some((min, max)) => Some((number(min)?, Some(number(max)?))),
    }
}
