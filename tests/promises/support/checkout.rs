//! A checkout of its own for each test, and the shell scripts in it as an operator calls them.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use super::files::temp_dir;

/// A checkout with the shell scripts as they are and the programs under test in `bin/`.
pub struct Checkout(TempDir);

impl Checkout {
    pub fn new() -> Self {
        let dir = temp_dir();
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in ["build", "home.sh", "page.sh", "start_webhook.sh", "stop_webhook.sh", "hooks.json"] {
            fs::copy(source.join(file), dir.path().join(file)).unwrap();
        }
        for folder in ["bin", "queue", "scripts"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let checkout = Self(dir);
        symlink(env!("CARGO_BIN_EXE_webhookd"), checkout.file("bin/webhookd")).unwrap();
        symlink(env!("CARGO_BIN_EXE_queue_build"), checkout.file("bin/queue_build")).unwrap();
        symlink(env!("CARGO_BIN_EXE_statusd"), checkout.file("bin/statusd")).unwrap();
        checkout
    }

    pub fn home(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// One of the scripts, with nothing of the surrounding environment that could mean something to it. Through
    /// bash: the exec of a file that was just written fails while another test's fork still has it open.
    pub fn script(&self, name: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg(self.file(name));
        for name in ["AMP_CI_HOME", "AMP_CI_PAGE", "AMP_CI_PAGE_URL", "SECRET", "SECRET_OLD", "SCRIPT_DIR"] {
            command.env_remove(name);
        }
        command
    }

    pub fn start(&self) -> Command {
        let mut start = self.script("start_webhook.sh");
        start.env("SECRET", "k3y").args(["-ip", "127.0.0.1", "-port", "0"]);
        start
    }

    pub fn stop(&self) -> Output {
        self.script("stop_webhook.sh").output().unwrap()
    }

    /// `environment.sh`, with the mode that the README gives it.
    pub fn settings(&self, text: &str) {
        fs::write(self.file("environment.sh"), text).unwrap();
        fs::set_permissions(self.file("environment.sh"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn pid(&self) -> Option<u32> {
        self.pid_in("webhook.pid")
    }

    pub fn pid_in(&self, name: &str) -> Option<u32> {
        fs::read_to_string(self.file(name)).ok()?.trim_end().parse().ok()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = self.script("stop_webhook.sh").output();
    }
}
