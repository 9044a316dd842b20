//! Git repositories where GitHub would be, and installations with the shipped chunks that clone from them.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{
    files::{names, temp_dir},
    installation::Installation,
};

/// Among them an amp_bootstrap that does what the real one does, as far as a build goes.
pub struct Repositories(TempDir);

/// What a repository has to have for amp_bootstrap: here its package is its file `content`.
const AMP_BUILD: &str = r#"#!/usr/bin/env bash
[[ $1 == --package ]] || exit 2
echo "content: $(cat content)"
cp content "$2/${PWD##*/}.tar"
"#;

impl Repositories {
    pub fn new() -> Self {
        let repositories = Self(temp_dir());
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/amp_devel.py");
        repositories.commit("amp_bootstrap", &[("amp_devel.py", &fs::read_to_string(stand_in).unwrap())]);
        repositories
    }

    /// What `AMP_CI_GIT_BASE` has to say to clone from here as if over the network.
    pub fn base(&self) -> String {
        format!("file://{}", self.0.path().display())
    }

    pub fn path(&self, repository: &str) -> PathBuf {
        self.0.path().join(repository)
    }

    pub fn git(&self, repository: &str, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.path(repository))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args([
                "-c",
                "user.name=dev",
                "-c",
                "user.email=dev@example.org",
                "-c",
                "protocol.file.allow=always",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_string()
    }

    /// Commits the files to the repository, made on first use; the commit's hash.
    pub fn commit(&self, repository: &str, files: &[(&str, &str)]) -> String {
        let dir = self.path(repository);
        if !dir.exists() {
            fs::create_dir(&dir).unwrap();
            self.git(repository, &["init", "--quiet", "--initial-branch=main"]);
            // As GitHub has it.
            self.git(repository, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
            self.write(repository, "amp_build.py", AMP_BUILD);
        }
        for (name, text) in files {
            self.write(repository, name, text);
        }
        self.git(repository, &["add", "."]);
        self.git(repository, &["commit", "--quiet", "-m", "a commit"]);
        self.git(repository, &["rev-parse", "HEAD"])
    }

    fn write(&self, repository: &str, name: &str, text: &str) {
        let path = self.path(repository).join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    /// An installation with the shipped chunks that clones from here.
    pub fn installation(&self) -> Installation {
        let mut ci = Installation::new();
        ci.set("AMP_CI_GIT_BASE", &self.base());
        for chunk in names(&shipped_chunks()) {
            ci.chunk(&chunk, &fs::read_to_string(shipped_chunks().join(&chunk)).unwrap());
        }
        ci
    }
}

pub fn shipped_chunks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}
