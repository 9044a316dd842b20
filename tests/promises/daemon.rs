//! A real daemon on a free port of the loopback, in a directory of its own, and a client that sends what it is told.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The program under test.
pub const WEBHOOKD: &str = env!("CARGO_BIN_EXE_webhookd");

/// Whatever takes longer than this is taken for stuck.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `condition` gives something.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

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
        let dir = tempfile::tempdir().unwrap();
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
        let mut command = self.command();
        command.args(flags).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        let mut daemon = Daemon { child, dir: self.dir, log, address: String::new() };
        let line = daemon.wait_for_line("serving hooks on ");
        daemon.address = line.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        daemon
    }

    /// Runs it to its end, which must come by itself.
    pub fn run(self) -> Output {
        self.run_in_place()
    }

    /// The same, and the directory stays.
    pub fn run_in_place(&self) -> Output {
        let child = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let (done, watched) = std::sync::mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            if watched.recv_timeout(DEADLINE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
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

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends bytes as they are, and reads one answer.
    pub fn send(&self, raw: impl AsRef<[u8]>) -> Reply {
        let mut stream = self.connect();
        stream.write_all(raw.as_ref()).unwrap();
        let head_only = raw.as_ref().starts_with(b"HEAD ");
        Reply::read(&mut stream, head_only)
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
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Waits for a line of the log that contains `text`.
    pub fn wait_for_line(&self, text: &str) -> String {
        wait_for(&format!("{text:?} in the log:\n{}", self.log()), || {
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
        wait_for("the daemon's end", || child.try_wait().unwrap())
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

/// A request with the headers that HTTP needs.
pub fn raw_request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut raw = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n").into_bytes();
    if !body.is_empty() {
        raw.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    for (name, value) in headers {
        raw.extend(format!("{name}: {value}\r\n").bytes());
    }
    raw.extend(b"\r\n");
    raw.extend(body);
    raw
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names as they were written.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads one answer, and no byte more.
    pub fn read(stream: &mut impl Read, head_only: bool) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1, "cut off: {}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut reply = Self { status, headers, body: Vec::new() };
        if head_only || matches!(status, 100..200 | 204 | 304) {
            return reply;
        }
        if let Some(length) = reply.header("Content-Length") {
            reply.body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut reply.body).unwrap();
        } else if reply.header("Transfer-Encoding") == Some("chunked") {
            while let Some(chunk) = read_chunk(stream) {
                reply.body.extend(chunk);
            }
        } else {
            stream.read_to_end(&mut reply.body).unwrap();
        }
        reply
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One chunk, or nothing at the end. Panics if the body breaks off.
pub fn read_chunk(stream: &mut impl Read) -> Option<Vec<u8>> {
    try_read_chunk(stream).expect("the body broke off")
}

/// The same, with an error where the body breaks off.
pub fn try_read_chunk(stream: &mut impl Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim_end(), 16).unwrap();
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk)?;
    chunk.truncate(size);
    Ok((size > 0).then_some(chunk))
}

/// Closes the sending side.
pub fn say_no_more(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Is there a process of this number that is no zombie?
pub fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
}

/// The number that somebody writes into `path`.
pub fn pid_in(path: &Path) -> i32 {
    wait_for(&format!("a pid in {}", path.display()), || {
        fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))?.trim().parse().ok()
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
    let (Some(properties), serde_json::Value::Object(more)) = (hook.as_object_mut(), more) else { unreachable!() };
    properties.extend(more);
    hook
}

/// The text of a hooks file.
pub fn hooks_file(hooks: &[serde_json::Value]) -> String {
    serde_json::to_string_pretty(hooks).unwrap()
}
