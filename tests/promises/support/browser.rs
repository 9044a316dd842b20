//! A real browser: Debian's chromium by its chromedriver, spoken to as W3C WebDriver says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{process::processes, wait::until};

/// A browser with one window; both processes end when it is dropped.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: TempDir,
}

/// What is missing for one, if anything is.
pub fn missing() -> Option<&'static str> {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    (!is_there("chromedriver") || !is_there("chromium"))
        .then_some("chromium and chromium-driver are not installed")
}

/// The accessibility checker from npm, where `.ci/run` has put it.
pub fn axe() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/axe/axe.min.js");
    path.exists().then_some(path)
}

impl Browser {
    pub fn start() -> Self {
        let profile = tempfile::Builder::new().prefix("amp_ci-browser-").tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "chromedriver ended");
            if let Some((_, port)) = line.trim_end().split_once("successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let mut browser = Self { driver, port, session: String::new(), profile };
        let data = format!("--user-data-dir={}", browser.profile.path().join("profile").display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &data,
        ];
        let capabilities =
            json!({"goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {"args": arguments}});
        let session =
            browser.call("POST", "/session", &json!({"capabilities": {"alwaysMatch": capabilities}}));
        browser.session = session["sessionId"].as_str().unwrap().to_string();
        browser
    }

    pub fn open(&self, url: &str) {
        self.do_("POST", "url", &json!({"url": url}));
    }

    /// Runs a script's body; what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.do_("POST", "execute/sync", &json!({"script": script, "args": []}))
    }

    /// The same for one that calls the last of its arguments with its result.
    pub fn run_async(&self, script: &str) -> Value {
        self.do_("POST", "execute/async", &json!({"script": script, "args": []}))
    }

    /// Waits until this expression is true.
    pub fn wait_for(&self, what: &str, expression: &str) {
        until(what, || (self.run(&format!("return !!({expression})")) == true).then_some(()));
    }

    /// The text that can be seen.
    pub fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap().to_string()
    }

    pub fn size(&self, width: u32, height: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}),
        );
    }

    pub fn dark(&self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({"features": [{"name": "prefers-color-scheme", "value": value}]}),
        );
    }

    /// As it is printed by somebody whose screen is dark.
    pub fn on_paper(&self) {
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
        );
        self.run("dispatchEvent(new Event('beforeprint'))");
    }

    pub fn without_scripts(&self, without: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({"value": without}));
    }

    /// What the console has: errors of scripts, of the policy, of the network.
    pub fn console(&self) -> Vec<Value> {
        self.do_("POST", "se/log", &json!({"type": "browser"})).as_array().unwrap().clone()
    }

    fn devtools(&self, command: &str, parameters: &Value) {
        self.do_("POST", "goog/cdp/execute", &json!({"cmd": command, "params": parameters}));
    }

    fn do_(&self, method: &str, path: &str, body: &Value) -> Value {
        self.call(method, &format!("/session/{}/{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        assert!(
            answer["value"]["error"].is_null() || answer["value"]["stacktrace"].is_null(),
            "{path}: {answer}"
        );
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.call("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        // Chromium's processes carry the profile in their command lines.
        let profile = self.profile.path().display().to_string();
        for process in processes(|line| line.contains(&profile)) {
            let pid = process.split(' ').next().unwrap_or_default().to_string();
            let _ = Command::new("kill").args(["-KILL", &pid]).stderr(Stdio::null()).status();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
