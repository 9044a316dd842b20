//! A mail server on loopback that answers each step as a test says.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What it does instead of answering well.
#[derive(Debug, Clone)]
pub enum Answer {
    Says(&'static [u8]),
    HangsUp,
    /// Until the other side has hung up.
    IsSilent,
    /// Something that begins like a reply, for ever, a byte at a time.
    Trickles,
    /// Lines of a reply, for ever.
    Floods,
}

/// A step, by the first word of the command; also `greeting`, `dot`, and `RCPT gone@example.org` for one recipient.
type Step = &'static str;

/// A server that has been started. Its threads end with the test program.
pub struct Scripted {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<Step, Answer>>,
    offers: Mutex<Vec<&'static str>>,
    tls: Option<Arc<ServerConfig>>,
    heard: Mutex<Vec<String>>,
    letters: Mutex<Vec<(String, String)>>,
    refused_words: Mutex<Option<&'static str>>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Scripted {
    /// That answers well until it is told otherwise.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// With a certificate for STARTTLS.
    pub fn start_with(tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { port, shared: Self::listen(listener, tls) }
    }

    fn listen(listener: TcpListener, tls: Option<ServerConfig>) -> Arc<Shared> {
        let shared = Arc::new(Shared { tls: tls.map(Arc::new), ..Shared::default() });
        let listening = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let shared = Arc::clone(&listening);
                thread::spawn(move || Conversation::new(socket.unwrap(), &shared).hold());
            }
        });
        shared
    }

    /// On an address of its own.
    pub fn on(listener: TcpListener) -> Self {
        Self { port: listener.local_addr().unwrap().port(), shared: Self::listen(listener, None) }
    }

    pub fn answers(self, step: Step, answer: Answer) -> Self {
        self.shared.answers.lock().unwrap().insert(step, answer);
        self
    }

    pub fn relents(&self) {
        self.shared.answers.lock().unwrap().clear();
    }

    /// Refuses each letter that has these words.
    pub fn refuses(self, words: &'static str) -> Self {
        *self.shared.refused_words.lock().unwrap() = Some(words);
        self
    }

    pub fn offers(self, lines: &[&'static str]) -> Self {
        *self.shared.offers.lock().unwrap() = lines.to_vec();
        self
    }

    /// Each command, after TLS with a star in front.
    pub fn heard(&self) -> Vec<String> {
        self.shared.heard.lock().unwrap().clone()
    }

    /// Recipient and text of each letter that has come whole, taken or not.
    pub fn letters(&self) -> Vec<(String, String)> {
        self.shared.letters.lock().unwrap().clone()
    }

    /// The recipients of these letters.
    pub fn recipients(&self) -> Vec<String> {
        self.letters().into_iter().map(|(to, _)| to).collect()
    }
}

struct Conversation<'a> {
    shared: &'a Shared,
    stream: BufReader<Box<dyn Stream>>,
    plain: TcpStream,
    encrypted: bool,
    to: String,
}

impl<'a> Conversation<'a> {
    fn new(socket: TcpStream, shared: &'a Shared) -> Self {
        let plain = socket.try_clone().unwrap();
        Self { shared, stream: BufReader::new(Box::new(socket)), plain, encrypted: false, to: String::new() }
    }

    /// Until either side has had enough.
    fn hold(mut self) {
        let _ = self.talk();
        let _ = self.plain.shutdown(std::net::Shutdown::Both);
    }

    fn talk(&mut self) -> std::io::Result<()> {
        self.answer(&["greeting"], b"220 test\r\n")?;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            let star = if self.encrypted { "*" } else { "" };
            self.shared.heard.lock().unwrap().push(format!("{star}{line}"));
            match line.split(' ').next().unwrap() {
                "EHLO" => {
                    let mut lines = "250-test\r\n".to_string();
                    for offer in self.shared.offers.lock().unwrap().iter() {
                        if !self.encrypted || *offer != "STARTTLS" {
                            lines = format!("{lines}250-{offer}\r\n");
                        }
                    }
                    self.answer(&["EHLO"], format!("{lines}250 HELP\r\n").as_bytes())?;
                }
                "STARTTLS" => {
                    self.answer(&["STARTTLS"], b"220 go on\r\n")?;
                    let Some(config) = self.shared.tls.clone() else { continue };
                    let stream =
                        StreamOwned::new(ServerConnection::new(config).unwrap(), self.plain.try_clone()?);
                    self.stream = BufReader::new(Box::new(stream));
                    self.encrypted = true;
                }
                "AUTH" if line == "AUTH LOGIN" => {
                    self.answer(&["AUTH"], b"334 VXNlcm5hbWU6\r\n")?;
                    self.stream.read_line(&mut String::new())?;
                    self.answer(&["AUTH"], b"334 UGFzc3dvcmQ6\r\n")?;
                    self.stream.read_line(&mut String::new())?;
                    self.answer(&["AUTH"], b"235 welcome\r\n")?;
                }
                "AUTH" => drop(self.answer(&["AUTH"], b"235 welcome\r\n")?),
                "RCPT" => {
                    self.to = line.split(['<', '>']).nth(1).unwrap().to_string();
                    let step = format!("RCPT {}", self.to);
                    self.answer(&[&step, "RCPT"], b"250 ok\r\n")?;
                }
                "DATA" => {
                    if !self.answer(&["DATA"], b"354 go on\r\n")? {
                        continue;
                    }
                    let mut letter = String::new();
                    while !letter.ends_with("\r\n.\r\n") {
                        if self.stream.read_line(&mut letter)? == 0 {
                            return Ok(());
                        }
                    }
                    let refused = *self.shared.refused_words.lock().unwrap();
                    if refused.is_some_and(|words| letter.contains(words)) {
                        self.stream.get_mut().write_all(b"550 spam\r\n")?;
                        continue;
                    }
                    self.shared.letters.lock().unwrap().push((self.to.clone(), letter));
                    let step = format!("dot {}", self.to);
                    self.answer(&[&step, "dot"], b"250 taken\r\n")?;
                }
                "QUIT" => return self.answer(&["QUIT"], b"221 bye\r\n").map(drop),
                command => drop(self.answer(&[command], b"250 ok\r\n")?),
            }
        }
    }

    /// Whether it answered well. An `Err` ends the conversation.
    fn answer(&mut self, steps: &[&str], well: &[u8]) -> std::io::Result<bool> {
        let answer = {
            let answers = self.shared.answers.lock().unwrap();
            steps.iter().find_map(|step| answers.get(step).cloned())
        };
        let end = || Err(std::io::ErrorKind::ConnectionAborted.into());
        let is_well = answer.is_none();
        match answer {
            None => self.stream.get_mut().write_all(well)?,
            Some(Answer::Says(bytes)) => self.stream.get_mut().write_all(bytes)?,
            Some(Answer::HangsUp) => return end(),
            Some(Answer::IsSilent) => {
                self.stream.read_to_end(&mut Vec::new())?;
                return end();
            }
            Some(Answer::Trickles) => loop {
                self.stream.get_mut().write_all(b"2")?;
                thread::sleep(Duration::from_millis(10));
            },
            Some(Answer::Floods) => loop {
                self.stream.get_mut().write_all(b"250-and\r\n")?;
            },
        }
        self.stream.get_mut().flush()?;
        Ok(is_well)
    }
}
