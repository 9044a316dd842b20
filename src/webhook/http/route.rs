//! Where a request goes by its path.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::webhook::go::url::{clean_path, escape_path, escapes_are_sound};

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// `/`: the page that says OK.
    Root,
    /// What follows the prefix, decoded; any bytes but a newline, slashes too.
    Hook(Vec<u8>),
    /// The same place by its clean name, encoded again.
    Moved(String),
    NotFound,
    /// A percent sign without two hex digits.
    Malformed,
}

/// Finds the route of `path` as received; `prefix` is what hooks begin with: `/hooks/`.
pub fn route(path: &str, prefix: &str) -> Route {
    if !escapes_are_sound(path.as_bytes()) {
        return Route::Malformed;
    }
    let decoded: Cow<[u8]> = percent_decode_str(path).into();
    let clean = clean_path(&decoded);
    if clean != *decoded {
        return Route::Moved(escape_path(&clean));
    }
    match decoded.strip_prefix(prefix.as_bytes()) {
        _ if *decoded == *b"/" => Route::Root,
        Some(id) if !id.contains(&b'\n') => Route::Hook(id.to_vec()),
        _ => Route::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(id: &str) -> Route {
        Route::Hook(id.into())
    }

    fn moved(to: &str) -> Route {
        Route::Moved(to.to_owned())
    }

    #[test]
    fn a_path_leads_to_a_hook_by_its_decoded_rest() {
        for (path, expected) in [
            ("/", Route::Root),
            ("/hooks/a", hook("a")),
            ("/hooks/", hook("")),
            ("/hooks/a/", hook("a/")),
            ("/hooks/a/b", hook("a/b")),
            ("/hooks/a%2Fb", hook("a/b")),
            ("/hooks/a+b%20c", hook("a+b c")),
            ("/h%6Foks/a", hook("a")),
            ("/hooks/%ff", Route::Hook(b"\xff".into())),
            ("/hooks", Route::NotFound),
            ("/Hooks/a", Route::NotFound),
            ("/other", Route::NotFound),
            ("/hooks/a%0Ab", Route::NotFound),
            ("/hooks/%", Route::Malformed),
            ("/hooks/%zz", Route::Malformed),
            ("/hooks/%4", Route::Malformed),
            ("/hooks/%é0", Route::Malformed),
        ] {
            assert_eq!(route(path, "/hooks/"), expected, "{path}");
        }
    }

    #[test]
    fn a_path_that_is_not_clean_moves_to_its_clean_name() {
        for (path, expected) in [
            ("//", moved("/")),
            ("/.", moved("/")),
            ("/..", moved("/")),
            ("/hooks//x", moved("/hooks/x")),
            ("/hooks/x//", moved("/hooks/x/")),
            ("/hooks/./x", moved("/hooks/x")),
            ("/hooks/x/..", moved("/hooks")),
            ("/hooks/x/../", moved("/hooks/")),
            ("/hooks/%2e%2e/x", moved("/x")),
            ("/hooks/%2Fx", moved("/hooks/x")),
            ("/hooks//a!'()*b%41%2f%20$&+,;=@:[]", moved("/hooks/a%21%27%28%29%2AbA/%20$&+,;=@:%5B%5D")),
            ("/hooks//é", moved("/hooks/%C3%A9")),
        ] {
            assert_eq!(route(path, "/hooks/"), expected, "{path}");
        }
    }

    #[test]
    fn prefixes_may_be_empty_or_deep() {
        for (path, prefix, expected) in [
            ("/a", "/", hook("a")),
            ("/a/b", "/", hook("a/b")),
            ("/", "/", Route::Root),
            ("/a/b/c", "/a/b/", hook("c")),
            ("/a/c", "/a/b/", Route::NotFound),
            ("/hooks/x", "//hooks/", Route::NotFound),
        ] {
            assert_eq!(route(path, prefix), expected, "{path} {prefix}");
        }
    }
}
