//! Secrets in output: `***` is recorded in their place.
//!
//! It keeps what is printed by accident out of logs, pages and letters, foremost what `set -x` prints. It hinders nobody
//! who wants a secret to get out: base64 is another text.
//!
//! Of what came, only an end that may begin a secret is held back until more comes, or the output is over. A pause is no
//! reason to let it go: a secret may be printed in two halves.

use std::{collections::BTreeSet, fmt, fs::File, io, path::Path, sync::Arc};

use aho_corasick::{AhoCorasick, Input, MatchKind, Span, packed};

use super::output_log::OutputLog;

/// Whatever is shorter is likely to be in an output that means something else.
const SHORTEST: usize = 8;

/// What is recorded instead.
const STARS: &[u8] = b"***";

/// What is looked for: no secret in many builds, and then it costs nothing. `Debug` shows none.
#[derive(Clone, Default)]
pub struct Mask(Option<Arc<Secrets>>);

struct Secrets {
    search: Search,
    texts: Vec<Vec<u8>>,
    longest: usize,
    /// Does one begin with this byte? Most of an output needs no second look.
    begins: [bool; 256],
}

/// Of texts that begin at the same place the longest is found, else its rest would be shown.
enum Search {
    /// By many bytes at once, several times as fast.
    Packed(packed::Searcher),
    /// More texts than it takes, or a processor that cannot.
    Each(AhoCorasick),
}

/// An output on its way, and the end of it that may begin a secret.
#[derive(Debug)]
pub struct Masked {
    mask: Mask,
    held: Vec<u8>,
}

/// An [`OutputLog`] that no secret gets into.
#[derive(Debug)]
pub struct MaskedLog {
    log: OutputLog,
    masked: Masked,
}

impl Mask {
    /// For these values, line by line, as they are and as `set -x` shows them. Short lines are none.
    pub fn new<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Self {
        let mut texts = BTreeSet::new();
        for value in values {
            for line in value.as_ref().split(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.len() >= SHORTEST {
                    texts.extend(as_traced(line));
                    texts.insert(line.to_vec());
                }
            }
        }
        if texts.is_empty() {
            return Self(None);
        }
        let search = Search::new(&texts);
        let longest = texts.iter().map(Vec::len).max().unwrap_or_default();
        let mut begins = [false; 256];
        for text in &texts {
            begins[usize::from(text[0])] = true;
        }
        // So many or so long that there is no memory for them: no environment holds that.
        Self(
            search.map(|search| {
                Arc::new(Secrets { search, texts: texts.into_iter().collect(), longest, begins })
            }),
        )
    }

    /// All that is looked for.
    #[cfg(any(test, fuzzing))]
    pub fn texts(&self) -> Vec<Vec<u8>> {
        self.0.as_ref().map_or_else(Vec::new, |secrets| secrets.texts.clone())
    }

    /// For one output.
    pub fn begin(&self) -> Masked {
        Masked { mask: self.clone(), held: Vec::new() }
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.as_ref().map_or(0, |secrets| secrets.texts.len());
        write!(f, "Mask({count} texts)")
    }
}

impl Search {
    fn new(texts: &BTreeSet<Vec<u8>>) -> Option<Self> {
        let mut packed = packed::Config::new().match_kind(packed::MatchKind::LeftmostLongest).builder();
        let each = || AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(texts).ok();
        packed.extend(texts).build().map(Self::Packed).or_else(|| each().map(Self::Each))
    }

    /// The first at or after `from`.
    fn find(&self, text: &[u8], from: usize) -> Option<Span> {
        match self {
            Self::Packed(search) => search.find_in(text, Span { start: from, end: text.len() }),
            Self::Each(search) => search.find(Input::new(text).range(from..)),
        }
        .map(|found| found.span())
    }
}

impl Secrets {
    /// Passes on what is certain of `text`; returns how much that was.
    fn pass_on(&self, text: &[u8], pass_on: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<usize> {
        let mut done = 0;
        let mut end = self.beginning(text, done);
        loop {
            match self.search.find(text, done) {
                // Nothing that may still come begins before it, or is a longer one at the same place.
                Some(found) if found.start < end => {
                    pass_on(&text[done..found.start])?;
                    pass_on(STARS)?;
                    done = found.end;
                    if end < done {
                        end = self.beginning(text, done);
                    }
                }
                _ => {
                    pass_on(&text[done..end])?;
                    return Ok(end);
                }
            }
        }
    }

    /// Where, from `from` on, the end of `text` begins that may be the beginning of a secret.
    fn beginning(&self, text: &[u8], from: usize) -> usize {
        let first = from.max((text.len() + 1).saturating_sub(self.longest));
        let may_begin =
            |end: &[u8]| self.texts.iter().any(|secret| secret.len() > end.len() && secret.starts_with(end));
        (first..text.len())
            .find(|at| self.begins[usize::from(text[*at])] && may_begin(&text[*at..]))
            .unwrap_or(text.len())
    }
}

impl Masked {
    /// Takes what came.
    pub fn write(
        &mut self,
        bytes: &[u8],
        mut pass_on: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some(secrets) = &self.mask.0 else { return pass_on(bytes) };
        if self.held.is_empty() {
            let done = secrets.pass_on(bytes, &mut pass_on)?;
            self.held.extend_from_slice(&bytes[done..]);
        } else {
            self.held.extend_from_slice(bytes);
            let done = secrets.pass_on(&self.held, &mut pass_on)?;
            self.held.drain(..done);
        }
        Ok(())
    }

    /// Nothing more comes.
    pub fn finish(self, mut pass_on: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let Some(secrets) = &self.mask.0 else { return Ok(()) };
        let mut done = 0;
        // What begins a longer one may hold shorter ones.
        while let Some(found) = secrets.search.find(&self.held, done) {
            pass_on(&self.held[done..found.start])?;
            pass_on(STARS)?;
            done = found.end;
        }
        pass_on(&self.held[done..])
    }
}

impl MaskedLog {
    /// As [`OutputLog::create`].
    pub fn create(path: &Path, limit: u64, mask: &Mask) -> io::Result<Self> {
        Ok(Self { log: OutputLog::create(path, limit)?, masked: mask.begin() })
    }

    /// As [`OutputLog::file`].
    pub fn file(&self) -> Arc<File> {
        self.log.file()
    }

    /// Appends what came.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.masked.write(bytes, |bytes| self.log.write(bytes))
    }

    /// Everything has come.
    pub fn finish(mut self) -> io::Result<()> {
        self.masked.finish(|bytes| self.log.write(bytes))?;
        self.log.finish()
    }
}

/// What bash makes of it where `set -x` shows it quoted.
fn as_traced(text: &[u8]) -> [Vec<u8>; 4] {
    let replaced = |becomes: &dyn Fn(u8) -> Option<Vec<u8>>| {
        text.iter().flat_map(|byte| becomes(*byte).unwrap_or_else(|| vec![*byte])).collect()
    };
    [
        // A word in single quotes.
        replaced(&|byte| (byte == b'\'').then(|| b"'\\''".to_vec())),
        // A word in $'...', for what cannot be printed; outside of UTF-8 that is whatever is not ASCII.
        replaced(&|byte| match byte {
            b'\x1b' => Some(b"\\E".to_vec()),
            b'\x07' => Some(b"\\a".to_vec()),
            b'\x08' => Some(b"\\b".to_vec()),
            b'\x0b' => Some(b"\\v".to_vec()),
            b'\x0c' => Some(b"\\f".to_vec()),
            b'\t' => Some(b"\\t".to_vec()),
            b'\r' => Some(b"\\r".to_vec()),
            b'\\' => Some(b"\\\\".to_vec()),
            b'\'' => Some(b"\\'".to_vec()),
            byte if byte.is_ascii_graphic() || byte == b' ' => None,
            byte => Some(format!("\\{byte:03o}").into_bytes()),
        }),
        // The right side of == in [[ ]], where it is no pattern: a backslash before each character,
        replaced(&|byte| (byte & 0b1100_0000 != 0b1000_0000).then(|| vec![b'\\', byte])),
        // which outside of UTF-8 is each byte.
        replaced(&|byte| Some(vec![b'\\', byte])),
    ]
}

#[cfg(test)]
mod tests {
    use std::{io::Write, process::Command};

    use super::*;

    fn masked(pieces: &[&[u8]], secrets: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut masked = Mask::new(secrets).begin();
        for piece in pieces {
            masked.write(piece, |bytes| out.write_all(bytes)).unwrap();
        }
        masked.finish(|bytes| out.write_all(bytes)).unwrap();
        out
    }

    #[test]
    fn secrets_become_stars_and_the_rest_stays() {
        for (text, expected) in [
            ("", ""),
            ("token=aaaabbbb\n", "token=***\n"),
            ("aaaabbbbaaaabbbb", "******"),
            ("aaaabbb", "aaaabbb"),
            // The longest of those that begin at one place; the first of those that overlap.
            ("aaaabbbbcccc", "***"),
            ("aaaabbbbccc", "***ccc"),
            ("aaaaaaaabbbb", "aaaa***"),
            ("xbbbbccccdddd", "x***"),
            ("aaaabbbbccccdddd", "***dddd"),
            // Too short, and lines of their own.
            ("short", "short"),
            ("-----BEGIN KEY-----\nMIIEabcd\n", "***\n***\n"),
        ] {
            let secrets: &[&[u8]] = &[
                b"aaaabbbb",
                b"aaaabbbbcccc",
                b"bbbbccccdddd",
                b"short",
                b"-----BEGIN KEY-----\r\nMIIEabcd\nx\n",
            ];
            assert_eq!(masked(&[text.as_bytes()], secrets), expected.as_bytes(), "{text}");
            for cut in 0..text.len() {
                let (one, other) = text.as_bytes().split_at(cut);
                assert_eq!(masked(&[one, other], secrets), expected.as_bytes(), "{text} at {cut}");
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(masked(&bytes, secrets), expected.as_bytes(), "{text} by bytes");
        }
    }

    /// From left to right, the longest of those that begin at a place.
    fn replaced(text: &[u8], secrets: &[Vec<u8>]) -> Vec<u8> {
        let mut shown = Vec::new();
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            let longest = secrets.iter().filter(|secret| rest.starts_with(secret)).map(Vec::len).max();
            if let Some(length) = longest {
                shown.extend_from_slice(STARS);
                rest = &rest[length..];
            } else {
                shown.push(*first);
                rest = after;
            }
        }
        shown
    }

    #[test]
    fn whatever_the_cuts_it_is_as_if_all_had_come_at_once() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..3000 {
            let mut text = |longest| -> Vec<u8> {
                (0..random.usize(0..longest)).map(|_| random.u8(b'a'..=b'b')).collect()
            };
            // Few, and more than are looked for at once.
            let others = if round % 3 == 0 { 40 } else { 0 };
            let secrets = [vec![text(12), text(14)], (0..=others).map(|_| text(20)).collect()].concat();
            let secrets: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
            let whole = text(200);
            let mut pieces = Vec::new();
            let mut rest = &whole[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(random.usize(1..=rest.len().min(30)));
                pieces.push(piece);
                rest = after;
            }
            let expected = replaced(&whole, &Mask::new(&secrets).texts());
            assert_eq!(masked(&pieces, &secrets), expected, "{secrets:?} in {pieces:?}");
        }
    }

    #[test]
    fn only_an_end_that_may_begin_a_secret_is_held_back() {
        let mut masked = Mask::new([b"aaaabbbb"]).begin();
        let mut out = Vec::new();
        for (piece, shown) in
            [("xaaaab", "x"), ("x", "xaaaabx"), ("aaaabbbb", "xaaaabx***"), ("aaaa", "xaaaabx***")]
        {
            masked.write(piece.as_bytes(), |bytes| out.write_all(bytes)).unwrap();
            assert_eq!(out, shown.as_bytes());
        }
        masked.finish(|bytes| out.write_all(bytes)).unwrap();
        assert_eq!(out, b"xaaaabx***aaaa");
    }

    #[test]
    fn what_bash_traces_is_masked_however_it_quotes() {
        let secrets = [
            "plain-secret",
            "it's one' here",
            "dollar$and \"quotes\"",
            "back\\slash`tick",
            "ünïcödë-secret",
            "escape\u{1b}bell\u{7}tab\tsecret",
            "glob*[a-z]?{a,b}",
        ];
        let script = "set -x\nx=$SECRET\n: \"$SECRET\" \"Bearer $SECRET\" \"it's $SECRET\" --token=\"$SECRET\"\n[[ x == \"$SECRET\" ]]\n\
            case $SECRET in x) ;; esac\nexport Y=\"$SECRET\"\nf() { for i in \"$@\"; do :; done; }; f \"$SECRET\"\na=(\"$SECRET\")";
        for locale in ["C", "C.UTF-8"] {
            for secret in secrets {
                let output = Command::new("bash")
                    .args(["-c", script])
                    .env("LC_ALL", locale)
                    .env("SECRET", secret)
                    .output()
                    .unwrap();
                let traced = masked(&[&output.stderr], &[secret.as_bytes()]);
                let traced = String::from_utf8_lossy(&traced).into_owned();
                assert!(traced.matches("***").count() >= 9, "{secret} in {locale}: {traced}");
                let rests = ["secret", "here", "quotes", "tick", "a-z", "s\\e\\c"];
                assert!(!rests.iter().any(|rest| traced.contains(rest)), "{secret} in {locale}: {traced}");
            }
        }
    }
}
