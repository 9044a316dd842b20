//! Errors that keep their causes: each says what it was at, and the next one down why that failed.
//!
//! fs-err's errors are made so, and so are ours: an [`io::Error`] shows only what it was at until it is shown
//! [`in_full`] (or by anyhow's `{:#}`).

use std::{error::Error, fmt::Display, io};

use rustix::io::Errno;

/// What was to be done, and why it was not.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct At {
    what: String,
    source: io::Error,
}

/// To be used with `map_err`: puts what we were at on top of an error, and keeps its kind.
pub fn at(what: impl Display) -> impl FnOnce(io::Error) -> io::Error {
    move |source| io::Error::new(source.kind(), At { what: what.to_string(), source })
}

/// What the kernel said, wherever in the chain it stands.
pub fn errno(error: &(dyn Error + 'static)) -> Option<Errno> {
    chain(error).find_map(|error| error.downcast_ref::<io::Error>().and_then(Errno::from_io_error))
}

/// An error with its causes, in one line. Some libraries repeat a cause in their own words: it is said once.
pub fn in_full(error: &(dyn Error + 'static)) -> String {
    let mut full = String::new();
    for cause in chain(error).map(ToString::to_string) {
        if full.is_empty() {
            full = cause;
        } else if !full.contains(&cause) {
            full = format!("{full}: {cause}");
        }
    }
    full
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_the_kernel_said_is_found_below_all_that_was_put_on_top() {
        let missing = fs_err::read(Path::new("/does/not/exist")).unwrap_err();
        let error = at(format_args!("cannot read {}", "x"))(at("deeper")(missing));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(errno(&error), Some(Errno::NOENT));
        assert_eq!(
            in_full(&error),
            "cannot read x: deeper: failed to open file `/does/not/exist`: No such file or directory (os error 2)"
        );
        assert_eq!(errno(&io::Error::other("no number")), None);
    }
}
