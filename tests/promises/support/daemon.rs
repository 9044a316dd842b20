//! A real daemon on a free port of the loopback, in a directory of its own, and a client that sends what it is told.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Seek, SeekFrom, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    files::temp_dir,
    http::{Reply, raw_request},
    process::peak_kib,
    wait::until,
};

/// The program under test.
pub const WEBHOOKD: &str = env!("CARGO_BIN_EXE_webhookd");

/// How long the other end of a connection may be silent: less than what the daemon itself allows where no flag says
/// otherwise, so that a flag that is not heeded shows.
pub const SILENCE: Duration = Duration::from_secs(20);

/// A daemon that is to be started.
pub struct Setup {
    program: PathBuf,
    dir: TempDir,
    flags: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Setup {
    /// `hooks` is the text of its hooks file.
    pub fn new(hooks: &str) -> Self {
        let dir = temp_dir();
        fs::write(dir.path().join("hooks.json"), hooks).unwrap();
        Self { program: WEBHOOKD.into(), dir, flags: Vec::new(), environment: BTreeMap::new() }
    }

    /// Another program with the same flags.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// With more flags.
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    /// With a variable in its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With a file in its directory.
    pub fn file(self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        fs::write(self.dir.path().join(name), contents).unwrap();
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.flags).current_dir(self.dir.path()).envs(&self.environment).stdin(Stdio::null());
        command
    }

    /// Starts it on a free port, verbose, and waits until it serves.
    pub fn start(self) -> Daemon {
        self.flags(&["-ip", "127.0.0.1", "-port", "0"]).start_as_it_is(&["-verbose"])
    }

    /// Starts it with these flags more, and waits until it serves.
    pub fn start_as_it_is(self, flags: &[&str]) -> Daemon {
        let log = self.dir.path().join("stderr");
        self.flags(flags).start_logging_to(&log)
    }

    /// Starts it with its own flags, of which none is verbose: where it serves is told by the kernel.
    pub fn start_quietly(self) -> Daemon {
        let log = self.dir.path().join("stderr");
        let stderr = fs::File::create(&log).unwrap();
        let child = self.command().stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let port = until("a port", || listening_port(child.id()));
        Daemon { child, dir: self.dir, log, address: format!("127.0.0.1:{port}") }
    }

    /// Starts it on the Unix socket that its flags name.
    pub fn start_on_socket(self) -> Daemon {
        self.start_as_it_is(&["-verbose"])
    }

    /// Starts it, and waits until `log` says that it serves. The log is standard error if no flag says otherwise.
    pub fn start_logging_to(self, log: &Path) -> Daemon {
        let stderr = fs::File::create(self.dir.path().join("stderr")).unwrap();
        let child = self.command().stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let mut daemon = Daemon { child, dir: self.dir, log: log.to_owned(), address: String::new() };
        let line = daemon.wait_for_line("serving hooks on ");
        line.split("://").nth(1).unwrap().split('/').next().unwrap().clone_into(&mut daemon.address);
        daemon
    }

    /// Runs it to its end, which must come by itself.
    pub fn run(&self) -> Output {
        let child =
            self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let (done, watched) = std::sync::mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            if watched.recv_timeout(SILENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let output = child.wait_with_output().unwrap();
        drop(done);
        watchdog.join().unwrap();
        output
    }
}

/// A daemon that serves; ended on drop.
pub struct Daemon {
    child: Child,
    dir: TempDir,
    log: PathBuf,
    /// As its log names it: `127.0.0.1:40123`.
    pub address: String,
}

impl Daemon {
    /// One on a free port with `hooks`.
    pub fn start(hooks: &str) -> Self {
        Setup::new(hooks).start()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The most memory that it ever had, in kibibytes.
    pub fn peak_kib(&self) -> u64 {
        peak_kib(self.pid().as_raw_pid()).unwrap()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        stream.set_write_timeout(Some(SILENCE)).unwrap();
        stream
    }

    /// Sends bytes as they are, and reads one answer.
    pub fn send(&self, raw: impl AsRef<[u8]>) -> Reply {
        let mut stream = self.connect();
        stream.write_all(raw.as_ref()).unwrap();
        let head_only = raw.as_ref().starts_with(b"HEAD ");
        Reply::read(&mut stream, head_only)
    }

    /// Sends a GET request; the answer is still to be read.
    pub fn ask(&self, path: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(&raw_request("GET", path, &[], b"")).unwrap();
        stream
    }

    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], b"")
    }

    /// Posts JSON.
    pub fn post(&self, path: &str, json: &str) -> Reply {
        self.request("POST", path, &[("Content-Type", "application/json")], json.as_bytes())
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send(raw_request(method, path, headers, body))
    }

    /// All that was logged to standard error so far.
    pub fn log(&self) -> String {
        self.log_from(0)
    }

    pub fn log_length(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }

    /// What was logged after so many bytes.
    pub fn log_from(&self, start: u64) -> String {
        let Ok(mut file) = fs::File::open(&self.log) else { return String::new() };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a line of the log that contains `text`.
    pub fn wait_for_line(&self, text: &str) -> String {
        until(&format!("{text:?} in the log:\n{}", self.log()), || {
            let log = self.log();
            let whole = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
            whole.lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the daemon's end", || child.try_wait().unwrap())
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of {}:\n{}---", self.address, self.log());
        }
    }
}

/// The port that a process listens on.
fn listening_port(pid: u32) -> Option<u16> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .ok()?
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned))
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields[3] == "0A" && sockets.iter().any(|socket| socket == fields[9]);
        listens.then(|| u16::from_str_radix(fields[1].rsplit(':').next()?, 16).ok())?
    })
}

/// A hook that runs `script` with sh and answers with its output; `more` is laid over it.
pub fn shell(id: &str, script: &str, more: serde_json::Value) -> serde_json::Value {
    let mut hook = serde_json::json!({
        "id": id,
        "execute-command": "/bin/sh",
        "include-command-output-in-response": true,
        "pass-arguments-to-command": [{"source": "string", "name": "-c"}, {"source": "string", "name": script}],
    });
    let (Some(properties), serde_json::Value::Object(more)) = (hook.as_object_mut(), more) else {
        unreachable!()
    };
    properties.extend(more);
    hook
}

/// The text of a hooks file.
pub fn hooks_file(hooks: &[serde_json::Value]) -> String {
    serde_json::to_string_pretty(hooks).unwrap()
}
