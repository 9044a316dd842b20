//! What is mounted where, as we see it: proc(5), `/proc/self/mountinfo`.

use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt, path::PathBuf};

/// One mount.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// Which directory of the file system is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// The type of the file system.
    pub kind: Vec<u8>,
}

/// All mounts; none where that cannot be told.
pub fn mounts() -> Vec<Mount> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    table.split(|byte| *byte == b'\n').filter_map(mount).collect()
}

/// `41 31 0:38 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw`; before the dash as many fields as there are.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = path(fields.nth(3)?);
    let point = path(fields.next()?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?.to_vec();
    Some(Mount { root, point, kind })
}

/// Blanks and backslashes are written there as three octal digits.
fn path(escaped: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| byte == b'\\').and_then(|code| str::from_utf8(code).ok());
        if let Some(code) = code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            plain.push(code);
            rest = &after[3..];
        } else {
            plain.push(byte);
            rest = after;
        }
    }
    OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_whatever_its_fields_and_blanks() {
        for (line, root, point, kind) in [
            ("41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "/", "/sys/fs/cgroup", "cgroup2"),
            (
                r"36 35 98:0 /m\0401 /mnt\134\0112 rw shared:1 master:2 - ext3 /dev/x rw",
                "/m 1",
                "/mnt\\\t2",
                "ext3",
            ),
        ] {
            let expected = Mount { root: root.into(), point: point.into(), kind: kind.into() };
            assert_eq!(mount(line.as_bytes()), Some(expected));
        }
        assert_eq!(mount(b"41 31 0:38 / /x rw"), None);
        assert_eq!(mount(b""), None);
    }
}
