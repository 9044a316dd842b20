//! What a home is given by `build init`, and its copies in `.shipped/`, by which one sees what a site has made its own.

use std::{borrow::Cow, io, path::Path};

use crate::{
    durable,
    regular_file::{self, Opened},
};

/// The directory in the home that holds copies of what was installed.
const COPIES: &str = ".shipped";

/// A file that is the site's to edit, rename or remove.
#[derive(Debug, Clone)]
pub struct Shipped {
    /// Where it lies in the home.
    pub name: &'static str,
    text: Cow<'static, str>,
    mode: u32,
}

/// What became of it in a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    /// It is new there.
    Made,
    /// It was as an earlier version shipped it.
    Replaced,
    /// It is as this version ships it.
    Current,
    /// The site has edited, renamed or removed it: it stays so. The copy was of this version.
    Kept,
    /// The same, and the copy is now of this version; beside it, `NAME.before` is of the earlier one.
    KeptBesideNewer,
}

const fn shipped(name: &'static str, text: &'static str, mode: u32) -> Shipped {
    Shipped { name, text: Cow::Borrowed(text), mode }
}

/// What this version ships: the same in every home.
pub static FILES: [Shipped; 5] = [
    shipped("scripts/checkout_repos", include_str!("../../scripts/checkout_repos"), 0o640),
    shipped("scripts/build_packages", include_str!("../../scripts/build_packages"), 0o640),
    shipped("scripts/distribute_main", include_str!("../../scripts/distribute_main"), 0o640),
    shipped("hooks.json", include_str!("../../hooks.json"), 0o640),
    shipped("environment.sh", include_str!("../../environment.sh-sample"), 0o600),
];

/// The scripts that know the home, because they lie in it, and the programs, because it is written in them.
pub fn launchers(checkout: &str) -> [Shipped; 3] {
    ["build", "start_webhook.sh", "stop_webhook.sh"].map(|name| {
        let script = format!("{checkout}/{name}");
        let script = shlex::try_quote(&script).map_or_else(|_| "''".into(), Cow::into_owned);
        let text = format!(
            "#!/usr/bin/env bash\n\
             # For the home in which this file lies; the programs are elsewhere. Made by `build init`.\n\
             AMP_CI_HOME=$(dirname -- \"$(readlink -f -- \"${{BASH_SOURCE[0]}}\")\") exec {script} \"$@\"\n"
        );
        Shipped { name, text: Cow::Owned(text), mode: 0o750 }
    })
}

/// Was this home made by `build init`, or is it at least being made?
pub fn has_copies(home: &Path) -> bool {
    home.join(COPIES).is_dir()
}

/// Makes the directory of the copies.
pub fn make_copies(home: &Path) -> io::Result<()> {
    durable::create_dir(&home.join(COPIES), 0o750)?;
    durable::create_dir(&home.join(COPIES).join("scripts"), 0o750)
}

impl Shipped {
    /// Puts it into a home, unless the site has made it its own; `is_new` says that what is missing has never been
    /// there. The copy comes last: after a crash between the two, the file is as this version ships it.
    pub fn install(&self, home: &Path, is_new: bool) -> io::Result<Installed> {
        let (file, copy) = (read(&home.join(self.name))?, read(&self.copy(home))?);
        let copy = match copy {
            Found::Text(text) => Some(text),
            Found::Missing | Found::Strange => None,
        };
        let shipped = self.text.as_bytes();
        let installed = match (file, &copy) {
            (Found::Missing, None) if is_new => Installed::Made,
            (Found::Text(text), _) if text == shipped => Installed::Current,
            (Found::Text(text), Some(copy)) if text == *copy => Installed::Replaced,
            (_, Some(copy)) if copy == shipped => Installed::Kept,
            (_, None) => Installed::Kept,
            (_, Some(_)) => Installed::KeptBesideNewer,
        };
        if matches!(installed, Installed::Made | Installed::Replaced) {
            durable::replace(&home.join(self.name), shipped, self.mode)?;
        }
        if let (Installed::KeptBesideNewer, Some(copy)) = (installed, &copy) {
            durable::replace(&self.copy_before(home), copy, 0o640)?;
        }
        if copy.as_deref() != Some(shipped) {
            durable::replace(&self.copy(home), shipped, 0o640)?;
        }
        Ok(installed)
    }

    /// Is what this version ships another than what was installed?
    pub fn is_newer_than_in(&self, home: &Path) -> bool {
        matches!(read(&self.copy(home)), Ok(Found::Text(copy)) if copy != self.text.as_bytes())
    }

    fn copy(&self, home: &Path) -> std::path::PathBuf {
        home.join(COPIES).join(self.name)
    }

    fn copy_before(&self, home: &Path) -> std::path::PathBuf {
        home.join(COPIES).join(format!("{}.before", self.name))
    }
}

enum Found {
    Text(Vec<u8>),
    Missing,
    /// A link, a directory: the site's, whatever is in it.
    Strange,
}

fn read(path: &Path) -> io::Result<Found> {
    Ok(match regular_file::open(path)? {
        Opened::Missing => Found::Missing,
        Opened::NotAFile => Found::Strange,
        Opened::File(mut file) => {
            let mut text = Vec::new();
            io::Read::read_to_end(&mut file, &mut text)?;
            Found::Text(text)
        }
    })
}

#[cfg(test)]
mod tests {
    use fs_err::{create_dir_all, read_to_string, remove_file, rename, write};

    use super::*;

    fn file(text: &'static str) -> Shipped {
        shipped("scripts/x", text, 0o640)
    }

    /// A home, and in it what an earlier version shipped.
    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        create_dir_all(home.path().join("scripts")).unwrap();
        make_copies(home.path()).unwrap();
        assert_eq!(file("one").install(home.path(), true).unwrap(), Installed::Made);
        assert_eq!(file("one").install(home.path(), true).unwrap(), Installed::Current);
        assert!(!file("one").is_newer_than_in(home.path()) && file("two").is_newer_than_in(home.path()));
        home
    }

    #[test]
    fn what_is_as_it_was_shipped_is_replaced_and_what_a_site_has_edited_stays() {
        let home = home();
        let x = home.path().join("scripts/x");
        assert_eq!(file("two").install(home.path(), true).unwrap(), Installed::Replaced);
        assert_eq!(read_to_string(&x).unwrap(), "two");

        write(&x, "mine").unwrap();
        assert_eq!(file("two").install(home.path(), true).unwrap(), Installed::Kept);
        assert_eq!(file("three").install(home.path(), true).unwrap(), Installed::KeptBesideNewer);
        assert_eq!(read_to_string(&x).unwrap(), "mine");
        let copies = home.path().join(".shipped/scripts");
        assert_eq!(read_to_string(copies.join("x.before")).unwrap(), "two");
        assert_eq!(read_to_string(copies.join("x")).unwrap(), "three");
        assert!(!file("three").is_newer_than_in(home.path()));
    }

    #[test]
    fn what_a_site_has_renamed_or_linked_away_does_not_come_back() {
        let home = home();
        let x = home.path().join("scripts/x");
        rename(&x, home.path().join("scripts/x_main")).unwrap();
        for text in ["one", "two"] {
            file(text).install(home.path(), true).unwrap();
            assert!(!x.exists());
        }
        fs_err::os::unix::fs::symlink("x_main", &x).unwrap();
        file("three").install(home.path(), true).unwrap();
        assert_eq!(read_to_string(&x).unwrap(), "one");
    }

    #[test]
    fn in_a_home_without_copies_nothing_of_the_site_s_is_touched() {
        let home = home();
        let x = home.path().join("scripts/x");
        for (before, is_new, after) in [(None, false, None), (Some("mine"), false, Some("mine"))] {
            let _ = remove_file(home.path().join(".shipped/scripts/x"));
            let _ = remove_file(&x);
            if let Some(text) = before {
                write(&x, text).unwrap();
            }
            assert_eq!(file("two").install(home.path(), is_new).unwrap(), Installed::Kept);
            assert_eq!(read_to_string(&x).ok().as_deref(), after);
        }
    }
}
