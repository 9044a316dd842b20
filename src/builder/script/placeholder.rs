//! Placeholders in chunks, as chunks written for the Python original use them, with bash's own braces left
//! alone.
//!
//! `{repository}` and `{commit_id}` become their text, whose alphabet holds nothing special to any shell;
//! `{ref}`, `{committer_name}` and `{committer_email}` become a reference to the variable, never its text. `{{`
//! is `{` and the `}}` that closes it is `}`. Every other brace passes.

use crate::queue::BuildRequest;

/// What stands in front of a brace that is bash's parameter expansion and never a placeholder.
const EXPANSION: u8 = b'$';

/// An open brace, and what its closing one is written as.
#[derive(PartialEq)]
enum Brace {
    Single,
    Double,
}

/// The chunk with its placeholders filled in. Bytes in, bytes out: a chunk need not be UTF-8.
pub fn render(chunk: &[u8], request: &BuildRequest) -> Vec<u8> {
    let mut rendered = Vec::with_capacity(chunk.len() + 256);
    let mut open = Vec::new();
    let mut rest = chunk;
    while let Some(&byte) = rest.first() {
        let mut taken = 1;
        match byte {
            b'{' if rest.get(1) == Some(&b'{') => {
                open.push(Brace::Double);
                rendered.push(b'{');
                taken = 2;
            }
            b'{' => {
                if let Some((length, text)) =
                    placeholder(rest, request).filter(|_| rendered.last() != Some(&EXPANSION))
                {
                    rendered.extend_from_slice(text.as_bytes());
                    taken = length;
                } else {
                    open.push(Brace::Single);
                    rendered.push(b'{');
                }
            }
            b'}' => {
                rendered.push(b'}');
                match open.last() {
                    Some(Brace::Single) => _ = open.pop(),
                    Some(Brace::Double) if rest.get(1) == Some(&b'}') => {
                        open.pop();
                        taken = 2;
                    }
                    _ => {}
                }
            }
            byte => rendered.push(byte),
        }
        rest = &rest[taken..];
    }
    rendered
}

/// The placeholder at the start of `text`: its length and what it becomes.
fn placeholder<'a>(text: &[u8], request: &'a BuildRequest) -> Option<(usize, &'a str)> {
    let name = braced_word(text)?;
    let becomes = match name {
        b"repository" => request.repository.as_str(),
        b"commit_id" => request.commit_id.as_str(),
        b"ref" => "${AMP_CI_REF}",
        b"committer_name" => "${AMP_CI_COMMITTER_NAME}",
        b"committer_email" => "${AMP_CI_COMMITTER_EMAIL}",
        _ => return None,
    };
    Some((name.len() + 2, becomes))
}

/// The word in braces at the start of `text`.
fn braced_word(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_prefix(b"{")?;
    let end = inside.iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'_'))?;
    (inside[end] == b'}' && end > 0).then(|| &inside[..end])
}

/// Words in single braces that are no placeholder, but look as if they were meant to be one: close to a
/// placeholder's name, with nothing before them that makes them bash's.
pub fn mistyped(chunk: &[u8]) -> Vec<String> {
    const NAMES: [&str; 5] = ["repository", "commit_id", "ref", "committer_name", "committer_email"];
    const WORDS: [&str; 12] = [
        "repo",
        "reponame",
        "repo_name",
        "commit",
        "commitid",
        "sha",
        "branch",
        "committer",
        "name",
        "email",
        "user",
        "pusher",
    ];
    let mut found = Vec::new();
    for (at, _) in chunk.iter().enumerate().filter(|(_, byte)| **byte == b'{') {
        let before = at.checked_sub(1).map(|before| chunk[before]);
        let Some(word) = braced_word(&chunk[at..]).and_then(|word| std::str::from_utf8(word).ok()) else {
            continue;
        };
        let lower = word.to_ascii_lowercase().replace('-', "_");
        let suspicious = WORDS.contains(&lower.as_str()) || NAMES.contains(&lower.as_str());
        if suspicious && !NAMES.contains(&word) && !matches!(before, Some(EXPANSION | b'{')) {
            found.push(format!("{{{word}}}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(chunk: &str) -> String {
        let request: BuildRequest = serde_json::from_str(&format!(
            r#"{{"repository":"amp_mgms","ref":"refs/heads/$(touch${{IFS}}x)","commit_id":"{}","committer_name":"`id`","committer_email":"a@b.cd"}}"#,
            "ab".repeat(20)
        ))
        .unwrap();
        String::from_utf8(render(chunk.as_bytes(), &request)).unwrap()
    }

    #[test]
    fn chunks_written_for_python_work_unchanged() {
        for (chunk, expected) in [
            ("git clone x/{repository}.git", "git clone x/amp_mgms.git"),
            ("echo {commit_id}", &format!("echo {}", "ab".repeat(20))),
            (
                "echo \"{ref}\" {committer_name} {committer_email}",
                "echo \"${AMP_CI_REF}\" ${AMP_CI_COMMITTER_NAME} ${AMP_CI_COMMITTER_EMAIL}",
            ),
            ("f() {{ echo ${{HOME}}; }}", "f() { echo ${HOME}; }"),
            ("${{a:-${{b}}}}", "${a:-${b}}"),
            ("${{{repository}}}", "${amp_mgms}"),
            ("{{repository}}", "{repository}"),
            ("awk '{{print $1}}' {repository}", "awk '{print $1}' amp_mgms"),
            ("echo {{1..3}}", "echo {1..3}"),
            ("if true; then {{ x; {{ y; }} }} fi", "if true; then { x; { y; } } fi"),
        ] {
            assert_eq!(rendered(chunk), expected, "{chunk}");
        }
    }

    #[test]
    fn bash_braces_pass_unchanged() {
        for chunk in [
            "${HOME}",
            "{1..3}",
            "f() { echo hi; }",
            "${a:-${b}}",
            "awk '{print $1}'",
            "echo {a,b}",
            "}",
            "{",
            "{}",
            "{ }}",
            "find . -exec ls {} \\;",
            "${ref}",
            "${repository:-x}",
            "{unknown}",
            "{ repository }",
            "{repository",
            "x=${y}}",
        ] {
            assert_eq!(rendered(chunk), chunk);
        }
    }

    #[test]
    fn bytes_that_are_no_text_pass() {
        let request: BuildRequest = serde_json::from_str(&format!(
            r#"{{"repository":"r","ref":"refs/heads/x","commit_id":"{}"}}"#,
            "a".repeat(40)
        ))
        .unwrap();
        assert_eq!(render(b"\xff{repository}\0\xfe", &request), b"\xffr\0\xfe");
    }

    #[test]
    fn words_that_look_like_a_mistyped_placeholder_are_found() {
        assert_eq!(
            mistyped(b"x {repo} ${repo} {{repo}} {Repository} {repository} {a,b} {branch}"),
            ["{repo}", "{Repository}", "{branch}"]
        );
    }
}
