//! A mail server on loopback that speaks real SMTP and keeps what it is given.

use std::{
    io::{BufRead, BufReader, Write},
    net::{IpAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use mailin::{
    Action, Handler, Response, SessionBuilder,
    response::{NO_MAILBOX, NO_SERVICE, OK, OUT_OF_SPACE},
};

/// A message as it was accepted.
#[derive(Debug, Clone)]
pub struct Received {
    pub from: String,
    pub to: Vec<String>,
    pub bytes: Vec<u8>,
}

/// Ends when it is dropped. By the local part of a recipient it refuses `gone` for good and `later` for now, and
/// hangs up over `crash`; `later` is accepted after [`MailServer::relent`].
pub struct MailServer {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    relented: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// One connection.
struct Reception {
    received: Arc<Mutex<Vec<Received>>>,
    relented: Arc<AtomicBool>,
    message: Received,
}

impl MailServer {
    pub fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// On a socket that is bound already.
    pub fn on(listener: TcpListener) -> Self {
        let port = listener.local_addr().unwrap().port();
        let (received, relented, ended) = <(Arc<Mutex<Vec<_>>>, Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let reception = {
            let (received, relented) = (Arc::clone(&received), Arc::clone(&relented));
            move || Reception {
                received: Arc::clone(&received),
                relented: Arc::clone(&relented),
                message: Received { from: String::new(), to: Vec::new(), bytes: Vec::new() },
            }
        };
        let stop = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            for connection in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // One at a time, as `build` has only one. Whoever hangs up has ended his session.
                let _ = converse(&connection.unwrap(), reception());
            }
        });
        Self { port, received, relented, ended, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    pub fn relent(&self) {
        self.relented.store(true, Ordering::SeqCst);
    }

    pub fn received(&self) -> Vec<Received> {
        locked(&self.received).clone()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn converse(connection: &TcpStream, reception: Reception) -> std::io::Result<()> {
    let mut session = SessionBuilder::new("mail.example.org").build(connection.peer_addr()?.ip(), reception);
    let mut lines = BufReader::new(connection.try_clone()?);
    let answer = |response: &Response| -> std::io::Result<()> {
        let mut bytes = Vec::new();
        response.write_to(&mut bytes)?;
        { connection }.write_all(&bytes)
    };
    answer(&session.greeting())?;
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let response = session.process(&line);
        line.clear();
        match response.action {
            Action::NoReply => {}
            Action::Close => return answer(&response),
            _ => answer(&response)?,
        }
    }
    Ok(())
}

impl Handler for Reception {
    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        self.message = Received { from: from.to_string(), to: Vec::new(), bytes: Vec::new() };
        OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        match to.split('@').next() {
            Some("gone") => NO_MAILBOX,
            Some("later") if !self.relented.load(Ordering::SeqCst) => OUT_OF_SPACE,
            Some("crash") => {
                let mut hang_up = NO_SERVICE;
                hang_up.action = Action::Close;
                hang_up
            }
            _ => {
                self.message.to.push(to.to_string());
                OK
            }
        }
    }

    fn data(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.message.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        locked(&self.received).push(self.message.clone());
        OK
    }
}

fn locked(received: &Mutex<Vec<Received>>) -> MutexGuard<'_, Vec<Received>> {
    received.lock().unwrap()
}
