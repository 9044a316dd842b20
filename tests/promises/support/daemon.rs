//! A real daemon on a free port of the loopback, in a directory of its own, and a client that sends what it is told.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Seek, SeekFrom, Write},
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
pub(crate) const WEBHOOKD: &str = env!("CARGO_BIN_EXE_webhookd");

/// Whatever takes longer than this is taken for stuck.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `condition` gives something.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
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
pub(crate) struct Setup {
    program: PathBuf,
    dir: TempDir,
    flags: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Setup {
    /// `hooks` is the text of its hooks file.
    pub(crate) fn new(hooks: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("hooks.json"), hooks).unwrap();
        Self { program: WEBHOOKD.into(), dir, flags: Vec::new(), environment: BTreeMap::new() }
    }

    /// Another program with the same flags.
    pub(crate) fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// With more flags.
    pub(crate) fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    /// With a variable in its environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With a file in its directory.
    pub(crate) fn file(self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        fs::write(self.dir.path().join(name), contents).unwrap();
        self
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.flags).current_dir(self.dir.path()).envs(&self.environment).stdin(Stdio::null());
        command
    }

    /// Starts it on a free port, verbose, and waits until it serves.
    pub(crate) fn start(self) -> Daemon {
        self.flags(&["-ip", "127.0.0.1", "-port", "0"]).start_as_it_is(&["-verbose"])
    }

    /// Starts it with these flags more, and waits until it serves.
    pub(crate) fn start_as_it_is(self, flags: &[&str]) -> Daemon {
        let log = self.dir.path().join("stderr");
        self.flags(flags).start_logging_to(&log)
    }

    /// Starts it with its own flags, of which none is verbose: where it serves is told by the kernel.
    pub(crate) fn start_quietly(self) -> Daemon {
        let log = self.dir.path().join("stderr");
        let stderr = fs::File::create(&log).unwrap();
        let child = self.command().stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let port = wait_for("a port", || listening_port(child.id()));
        Daemon { child, dir: self.dir, log, address: format!("127.0.0.1:{port}") }
    }

    /// Starts it on the Unix socket that its flags name.
    pub(crate) fn start_on_socket(self) -> Daemon {
        self.start_as_it_is(&["-verbose"])
    }

    /// Starts it, and waits until `log` says that it serves. The log is standard error if no flag says otherwise.
    pub(crate) fn start_logging_to(self, log: &Path) -> Daemon {
        let stderr = fs::File::create(self.dir.path().join("stderr")).unwrap();
        let child = self.command().stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let mut daemon = Daemon { child, dir: self.dir, log: log.to_owned(), address: String::new() };
        let line = daemon.wait_for_line("serving hooks on ");
        line.split("://").nth(1).unwrap().split('/').next().unwrap().clone_into(&mut daemon.address);
        daemon
    }

    /// Runs it to its end, which must come by itself.
    pub(crate) fn run(&self) -> Output {
        let child =
            self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
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
pub(crate) struct Daemon {
    child: Child,
    dir: TempDir,
    log: PathBuf,
    /// As its log names it: `127.0.0.1:40123`.
    pub(crate) address: String,
}

impl Daemon {
    /// One on a free port with `hooks`.
    pub(crate) fn start(hooks: &str) -> Self {
        Setup::new(hooks).start()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends bytes as they are, and reads one answer.
    pub(crate) fn send(&self, raw: impl AsRef<[u8]>) -> Reply {
        let mut stream = self.connect();
        stream.write_all(raw.as_ref()).unwrap();
        let head_only = raw.as_ref().starts_with(b"HEAD ");
        Reply::read(&mut stream, head_only)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], b"")
    }

    /// Posts JSON.
    pub(crate) fn post(&self, path: &str, json: &str) -> Reply {
        self.request("POST", path, &[("Content-Type", "application/json")], json.as_bytes())
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send(raw_request(method, path, headers, body))
    }

    /// All that was logged to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log_from(0)
    }

    pub(crate) fn log_length(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }

    /// What was logged after so many bytes.
    pub(crate) fn log_from(&self, start: u64) -> String {
        let Ok(mut file) = fs::File::open(&self.log) else { return String::new() };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a line of the log that contains `text`.
    pub(crate) fn wait_for_line(&self, text: &str) -> String {
        wait_for(&format!("{text:?} in the log:\n{}", self.log()), || {
            let log = self.log();
            let whole = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
            whole.lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the daemon's end", || child.try_wait().unwrap())
    }

    pub(crate) fn is_running(&mut self) -> bool {
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

/// A request with the headers that HTTP needs.
pub(crate) fn raw_request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
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
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names as they were written.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Reads one answer, and no byte more.
    pub(crate) fn read(stream: &mut impl Read, head_only: bool) -> Self {
        let head = read_to(stream, b"\r\n\r\n").unwrap();
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

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One chunk, or nothing at the end. Panics if the body breaks off.
pub(crate) fn read_chunk(stream: &mut impl Read) -> Option<Vec<u8>> {
    try_read_chunk(stream).expect("the body broke off")
}

/// The same, with an error where the body breaks off.
pub(crate) fn try_read_chunk(stream: &mut impl Read) -> std::io::Result<Option<Vec<u8>>> {
    let line = read_to(stream, b"\r\n")?;
    let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim_end(), 16).unwrap();
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk)?;
    chunk.truncate(size);
    Ok((size > 0).then_some(chunk))
}

/// Closes the sending side.
pub(crate) fn say_no_more(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Is there a process of this number that is no zombie?
pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
}

/// The number that somebody writes into `path`.
pub(crate) fn pid_in(path: &Path) -> i32 {
    wait_for(&format!("a pid in {}", path.display()), || {
        fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))?.trim().parse().ok()
    })
}

/// A hook that runs `script` with sh and answers with its output; `more` is laid over it.
pub(crate) fn shell(id: &str, script: &str, more: serde_json::Value) -> serde_json::Value {
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
pub(crate) fn hooks_file(hooks: &[serde_json::Value]) -> String {
    serde_json::to_string_pretty(hooks).unwrap()
}

/// Reads to the end of this mark, and no byte more. What came before an error is in the error.
pub(crate) fn read_to(stream: &mut impl Read, mark: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(mark) {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes);
            std::io::Error::new(error.kind(), format!("{error} after {before:?}"))
        })?;
        bytes.push(byte[0]);
    }
    Ok(bytes)
}
