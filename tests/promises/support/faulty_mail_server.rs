//! A mail server that misbehaves on request. It speaks just enough SMTP to be talked to, on loopback.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use super::process::signal_to;

/// What a server does with a recipient's letter.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Does {
    Accept,
    /// 4xx at RCPT.
    RefuseForNow,
    /// 5xx at RCPT.
    RefuseForGood,
    /// Says nothing more once the first lines of the message have come.
    HangInData,
    /// Takes the message and drops the connection without a word.
    DropAfterData,
    /// Takes the message, and ends the client by SIGKILL before it can say so.
    KillAfterData(i32),
    /// Takes a connection and never greets.
    NeverGreet,
}

/// A message as it came over the line: envelope, and text with the dots taken out again.
#[derive(Clone, Debug)]
pub struct Taken {
    pub from: String,
    pub to: Vec<String>,
    pub data: Vec<u8>,
}

type Rule = Box<dyn Fn(&str) -> Does + Send + Sync>;

struct Shared {
    rule: Mutex<Rule>,
    taken: Mutex<Vec<Taken>>,
    met: Mutex<Vec<Does>>,
    changed: Condvar,
    /// Connections on which nothing more is said.
    hanging: Mutex<Vec<TcpStream>>,
}

pub struct Server {
    port: u16,
    shared: Arc<Shared>,
}

impl Server {
    pub fn start(rule: impl Fn(&str) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            rule: Mutex::new(Box::new(rule)),
            taken: Mutex::default(),
            met: Mutex::default(),
            changed: Condvar::new(),
            hanging: Mutex::default(),
        });
        let for_all = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&for_all);
                thread::spawn(move || _ = talk(&stream.unwrap(), &shared));
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// From now on it does this. Whoever is left hanging until now is hung up on.
    pub fn now(&self, rule: impl Fn(&str) -> Does + Send + Sync + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
        for stream in self.shared.hanging.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// Waits until it has done something so often.
    pub fn wait_for(&self, what: impl Fn(&Does) -> bool, times: usize) {
        let mut met = self.shared.met.lock().unwrap();
        while met.iter().filter(|did| what(did)).count() < times {
            met = self.shared.changed.wait(met).unwrap();
        }
    }

    fn did(shared: &Shared, what: Does) {
        shared.met.lock().unwrap().push(what);
        shared.changed.notify_all();
    }
}

fn talk(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut answer = stream;
    let does = |to: &str| (shared.rule.lock().unwrap())(to);
    let mut line = Vec::new();
    if does("") == Does::NeverGreet {
        shared.hanging.lock().unwrap().push(stream.try_clone()?);
        Server::did(shared, Does::NeverGreet);
        lines.read_until(b'\n', &mut line)?;
        return Ok(());
    }
    answer.write_all(b"220 test\r\n")?;
    let (mut from, mut to) = (String::new(), Vec::<String>::new());
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_string();
        let address = || text.split_once('<').unwrap().1.split_once('>').unwrap().0.to_string();
        if text.starts_with("EHLO ") {
            answer.write_all(b"250 test\r\n")?;
        } else if text.starts_with("MAIL FROM:") {
            (from, to) = (address(), Vec::new());
            answer.write_all(b"250 ok\r\n")?;
        } else if text.starts_with("RCPT TO:") {
            match does(&address()) {
                Does::RefuseForNow => {
                    answer.write_all(b"451 not now\r\n")?;
                    Server::did(shared, Does::RefuseForNow);
                }
                Does::RefuseForGood => {
                    answer.write_all(b"550 no such user\r\n")?;
                    Server::did(shared, Does::RefuseForGood);
                }
                _ => {
                    to.push(address());
                    answer.write_all(b"250 ok\r\n")?;
                }
            }
        } else if text == "DATA" {
            let what = does(to.first().map_or("", String::as_str));
            answer.write_all(b"354 go on\r\n")?;
            let Some(data) = data(&mut lines, what == Does::HangInData)? else {
                shared.hanging.lock().unwrap().push(stream.try_clone()?);
                Server::did(shared, what);
                // Until the other side has lost its patience.
                line.clear();
                while lines.read_until(b'\n', &mut line)? > 0 {}
                return Ok(());
            };
            shared.taken.lock().unwrap().push(Taken { from: from.clone(), to: to.clone(), data });
            if let Does::KillAfterData(pid) = what {
                signal_to("KILL", pid);
            }
            Server::did(shared, what);
            if matches!(what, Does::DropAfterData | Does::KillAfterData(_)) {
                return Ok(());
            }
            answer.write_all(b"250 taken\r\n")?;
        } else if text == "QUIT" {
            answer.write_all(b"221 bye\r\n")?;
            return Ok(());
        } else {
            answer.write_all(b"250 ok\r\n")?;
        }
    }
}

/// The message up to the line with the dot alone; none if it is to be left hanging.
fn data(lines: &mut impl BufRead, hangs: bool) -> std::io::Result<Option<Vec<u8>>> {
    let mut data = Vec::new();
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if hangs {
            return Ok(None);
        }
        if line == b".\r\n" {
            return Ok(Some(data));
        }
        data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
