//! One conversation with a mail server: greeting, EHLO, STARTTLS, login, one letter, farewell.

use std::{
    fmt,
    io::{self, BufReader, Read, Write},
    time::{Duration, Instant},
};

use lettre::{
    address::Envelope,
    transport::smtp::{
        authentication::{Credentials, Mechanism},
        commands::{Auth, Data, Ehlo, Mail, Quit, Rcpt, Starttls},
        extension::{ClientId, MailBodyParameter, MailParameter},
        response,
    },
};
use rustls::{ClientConnection, StreamOwned};

use super::{
    reply::{self, Reply},
    server::{Server, Tls},
    tls::{self, Trust},
    wire::Wire,
};
use crate::error_chain::in_full;

/// How much of a letter is written at a time.
const BLOCK: usize = 16 << 10;

/// How long each step may take, as a whole.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connecting; the RFC names no limit.
    pub connect: Duration,
    /// Until the server has greeted, and for each command before the letter.
    pub greeting: Duration,
    /// Until MAIL is answered.
    pub mail: Duration,
    /// Until RCPT is answered.
    pub rcpt: Duration,
    /// Until DATA is answered.
    pub data: Duration,
    /// Until a block of the letter is taken.
    pub block: Duration,
    /// Until the letter is answered for.
    pub dot: Duration,
    /// Until QUIT is answered, which changes nothing any more.
    pub farewell: Duration,
    /// For all of it together.
    pub overall: Option<Duration>,
}

/// RFC 5321, 4.5.3.2.
impl Default for Limits {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            dot: minutes(10),
            farewell: Duration::from_secs(5),
            overall: None,
        }
    }
}

/// What a failure means for the letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nobody will ever take it.
    Refused,
    /// Perhaps later.
    NotNow,
    /// The server was not reached or did not let us in: that is no letter's doing, and true for all.
    NoServer,
}

/// A conversation that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct Failure {
    /// What that means.
    pub fate: Fate,
    step: &'static str,
    #[source]
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    /// A reply that is not the one that was hoped for.
    #[error("{0}")]
    Reply(Reply),
    /// No reply, or none that is one.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What we ask of a server, and this one does not do.
    #[error("{0}")]
    Terms(String),
}

impl Failure {
    /// Before there was a letter.
    fn before(step: &'static str) -> impl FnOnce(Cause) -> Self {
        move |cause| Self { fate: Fate::NoServer, step, cause }
    }

    /// RFC 5321, 4.2.1: 5yz is for ever. But not what concerns the connection (421) or its login (RFC 4954, 6).
    fn of_letter(step: &'static str) -> impl FnOnce(Cause) -> Self {
        move |cause| {
            let refused = match &cause {
                Cause::Reply(reply) => reply.class() == 5 && !matches!(reply.code, 530 | 534 | 535 | 538),
                Cause::Io(_) => false,
                Cause::Terms(_) => true,
            };
            Self { fate: if refused { Fate::Refused } else { Fate::NotNow }, step, cause }
        }
    }

    /// Is there a connection left to say farewell on?
    fn was_answered(&self) -> bool {
        !matches!(self.cause, Cause::Io(_))
    }
}

/// Sends letters by one server.
#[derive(Debug, Clone)]
pub struct Mailer {
    server: Server,
    hello: String,
    limits: Limits,
}

impl Mailer {
    /// `hello` is what we call ourselves if the URL says nothing.
    pub fn new(server: Server, hello: String, limits: Limits) -> Self {
        Self { hello: server.hello.clone().unwrap_or(hello), server, limits }
    }

    /// Sends one letter. It is sent when the server has said so, whatever it says or does after.
    pub fn send(&self, envelope: &Envelope, letter: &[u8]) -> Result<(), Failure> {
        let mut session = self.open()?;
        let sent = session.deliver(envelope, letter);
        if sent.as_ref().err().is_none_or(Failure::was_answered) {
            session.farewell();
        }
        sent
    }

    /// The same, where somebody waits for the answer.
    pub fn in_a_minute(&self) -> Self {
        let limits = Limits { overall: Some(Duration::from_secs(60)), ..self.limits.clone() };
        Self { limits, ..self.clone() }
    }

    /// Does the server let us in?
    pub fn probe(&self) -> Result<(), Failure> {
        self.open()?.farewell();
        Ok(())
    }

    /// Connected, encrypted as far as can be, and logged in.
    fn open(&self) -> Result<Session<'_>, Failure> {
        let mut session = Session::begin(self)?;
        if session.must_be_secret()? {
            session.starttls(Trust::Certified(self.server.ca.as_deref()))?;
        } else if session.offers.starttls {
            // RFC 7435: some encryption is better than none, and none is better than no letter.
            if let Err(failure) = session.starttls(Trust::Anybody) {
                tracing::warn!("{}: {}; letters go to it unencrypted", self.server.host, in_full(&failure));
                session = Session::begin(self)?;
            }
        }
        if let Some(login) = &self.server.login {
            session.login(login)?;
        }
        Ok(session)
    }
}

#[derive(Debug)]
enum Stream {
    Plain(Wire),
    Encrypted(Box<StreamOwned<ClientConnection, Wire>>),
    /// While the one above becomes the other.
    Gone,
}

impl Stream {
    fn wire(&mut self) -> io::Result<&mut Wire> {
        match self {
            Self::Plain(wire) => Ok(wire),
            Self::Encrypted(stream) => Ok(&mut stream.sock),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.read(buffer),
            Self::Encrypted(stream) => stream.read(buffer),
            Self::Gone => Ok(0),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.write(bytes),
            Self::Encrypted(stream) => stream.write(bytes),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(wire) => wire.flush(),
            Self::Encrypted(stream) => stream.flush(),
            Self::Gone => Ok(()),
        }
    }
}

/// What the answer to EHLO names.
#[derive(Debug, Default)]
struct Offers {
    starttls: bool,
    eight_bits: bool,
    /// RFC 1870: how large a letter may be; 0 is no limit.
    size: Option<u64>,
    logins: Vec<Mechanism>,
}

impl Offers {
    fn read(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            // AUTH= is how some servers of old have it.
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            match words.next() {
                Some("STARTTLS") => offers.starttls = true,
                Some("8BITMIME") => offers.eight_bits = true,
                Some("SIZE") => {
                    offers.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0));
                }
                Some("AUTH") => offers.logins.extend(words.filter_map(|word| match word {
                    "PLAIN" => Some(Mechanism::Plain),
                    "LOGIN" => Some(Mechanism::Login),
                    _ => None,
                })),
                _ => {}
            }
        }
        offers
    }
}

struct Session<'a> {
    mailer: &'a Mailer,
    stream: BufReader<Stream>,
    offers: Offers,
    /// When all has to be over.
    end: Option<Instant>,
}

impl<'a> Session<'a> {
    /// Connected, greeted, and told who we are.
    fn begin(mailer: &'a Mailer) -> Result<Self, Failure> {
        let Mailer { server, limits, .. } = mailer;
        let end = limits.overall.map(|overall| Instant::now() + overall);
        let wire = Wire::connect(&server.host, server.port, earlier(limits.connect, end))
            .map_err(|error| Failure::before("connecting")(error.into()))?;
        let mut session =
            Self { mailer, stream: BufReader::new(Stream::Plain(wire)), offers: Offers::default(), end };
        if server.tls == Tls::FromTheStart {
            session.encrypt(Trust::Certified(server.ca.as_deref())).map_err(Failure::before("TLS"))?;
        }
        session.step(limits.greeting).map_err(Failure::before("greeting"))?;
        session.reply(&[2]).map_err(Failure::before("greeting"))?;
        session.hello()?;
        Ok(session)
    }

    /// Is a connection that anybody could listen to, or answer on, not good enough?
    fn must_be_secret(&mut self) -> Result<bool, Failure> {
        let server = &self.mailer.server;
        let loopback = self
            .stream
            .get_mut()
            .wire()
            .and_then(|wire| wire.peer())
            .map_err(|error| Failure::before("connecting")(error.into()))?
            .ip()
            .is_loopback();
        let asked = server.tls == Tls::Required || server.ca.is_some();
        Ok(server.tls != Tls::FromTheStart && (asked || (server.login.is_some() && !loopback)))
    }

    fn hello(&mut self) -> Result<(), Failure> {
        let ehlo = Ehlo::new(ClientId::Domain(self.mailer.hello.clone()));
        let reply = self.command(ehlo, self.mailer.limits.greeting, &[2]).map_err(Failure::before("EHLO"))?;
        self.offers = Offers::read(&reply);
        Ok(())
    }

    fn starttls(&mut self, trust: Trust) -> Result<(), Failure> {
        if !self.offers.starttls {
            let why = "the server does not offer it, and a password, or what the URL asks for, needs it";
            return Err(Failure::before("STARTTLS")(Cause::Terms(why.to_string())));
        }
        self.command(Starttls, self.mailer.limits.greeting, &[2])
            .and_then(|_| self.encrypt(trust))
            .map_err(Failure::before("STARTTLS"))?;
        self.hello()
    }

    fn encrypt(&mut self, trust: Trust) -> Result<(), Cause> {
        // RFC 3207, 6: what came before the handshake can be anybody's.
        if !self.stream.buffer().is_empty() {
            return Err(
                io::Error::new(io::ErrorKind::InvalidData, "more than a reply came before TLS").into()
            );
        }
        self.step(self.mailer.limits.greeting)?;
        if let Stream::Plain(wire) = std::mem::replace(self.stream.get_mut(), Stream::Gone) {
            let encrypted = tls::encrypt(wire, &self.mailer.server.host, trust)?;
            *self.stream.get_mut() = Stream::Encrypted(Box::new(encrypted));
        }
        Ok(())
    }

    fn login(&mut self, login: &Credentials) -> Result<(), Failure> {
        self.authenticate(login).map_err(Failure::before("AUTH"))
    }

    fn authenticate(&mut self, login: &Credentials) -> Result<(), Cause> {
        let limit = self.mailer.limits.greeting;
        let Some(&mechanism) = self.offers.logins.first() else {
            return Err(Cause::Terms("the server offers neither PLAIN nor LOGIN".to_string()));
        };
        let terms = |error: lettre::transport::smtp::Error| Cause::Terms(error.to_string());
        let auth = Auth::new(mechanism, login.clone(), None).map_err(terms)?;
        let mut reply = self.command(auth, limit, &[2, 3])?;
        // LOGIN asks for the name and for the password.
        for _ in 0..2 {
            if reply.class() == 2 {
                return Ok(());
            }
            let code = response::Code::new(
                response::Severity::PositiveIntermediate,
                response::Category::Unspecified3,
                response::Detail::Four,
            );
            let challenge = response::Response::new(code, reply.lines);
            let answer = Auth::new_from_response(mechanism, login.clone(), &challenge).map_err(terms)?;
            reply = self.command(answer, limit, &[2, 3])?;
        }
        if reply.class() == 2 { Ok(()) } else { Err(Cause::Reply(reply)) }
    }

    fn deliver(&mut self, envelope: &Envelope, letter: &[u8]) -> Result<(), Failure> {
        let limits = &self.mailer.limits;
        let data = transparent(letter);
        let mail = Mail::new(envelope.from().cloned(), self.parameters(letter, data.len())?);
        self.command(mail, limits.mail, &[2]).map_err(Failure::of_letter("MAIL"))?;
        for to in envelope.to() {
            let rcpt = Rcpt::new(to.clone(), Vec::new());
            self.command(rcpt, limits.rcpt, &[2]).map_err(Failure::of_letter("RCPT"))?;
        }
        self.command(Data, limits.data, &[3]).map_err(Failure::of_letter("DATA"))?;
        for block in data.chunks(BLOCK).chain([&b".\r\n"[..]]) {
            self.write(block, limits.block).map_err(Failure::of_letter("the letter"))?;
        }
        self.step(limits.dot).and_then(|()| self.reply(&[2])).map_err(Failure::of_letter("the letter"))?;
        Ok(())
    }

    fn parameters(&self, letter: &[u8], size: usize) -> Result<Vec<MailParameter>, Failure> {
        let mut parameters = Vec::new();
        if let Some(most) = self.offers.size {
            if most > 0 && size as u64 > most {
                let why = format!("it has {size} bytes, and the server takes {most}");
                return Err(Failure::of_letter("SIZE")(Cause::Terms(why)));
            }
            parameters.push(MailParameter::Size(size));
        }
        if self.offers.eight_bits && !letter.is_ascii() {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        Ok(parameters)
    }

    fn farewell(&mut self) {
        let _ = self.command(Quit, self.mailer.limits.farewell, &[2]);
    }

    /// Sends a command, and reads its reply, which must be of one of these classes.
    fn command(
        &mut self,
        command: impl fmt::Display,
        limit: Duration,
        hoped: &[u16],
    ) -> Result<Reply, Cause> {
        self.write(command.to_string().as_bytes(), limit)?;
        self.reply(hoped)
    }

    /// A server that hangs up may have said why.
    fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Cause> {
        self.step(limit)?;
        let stream = self.stream.get_mut();
        let Err(error) = stream.write_all(bytes).and_then(|()| stream.flush()) else { return Ok(()) };
        match reply::read(&mut self.stream) {
            Ok(reply) if matches!(reply.class(), 4 | 5) => Err(Cause::Reply(reply)),
            _ => Err(error.into()),
        }
    }

    fn reply(&mut self, hoped: &[u16]) -> Result<Reply, Cause> {
        let reply = reply::read(&mut self.stream)?;
        if hoped.contains(&reply.class()) { Ok(reply) } else { Err(Cause::Reply(reply)) }
    }

    fn step(&mut self, limit: Duration) -> Result<(), Cause> {
        let until = earlier(limit, self.end);
        self.stream.get_mut().wire()?.step(until);
        Ok(())
    }
}

fn earlier(limit: Duration, end: Option<Instant>) -> Instant {
    let until = Instant::now() + limit;
    end.map_or(until, |end| end.min(until))
}

/// As a letter goes over the line (RFC 5321, 2.3.8 and 4.5.2): each line ends in CRLF, neither stands
/// elsewhere, and no line is a dot alone.
fn transparent(letter: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(letter.len() + 1024);
    for line in letter.strip_suffix(b"\n").unwrap_or(letter).split(|byte| *byte == b'\n') {
        let start = data.len();
        data.extend(line.iter().filter(|byte| **byte != b'\r'));
        if data.get(start) == Some(&b'.') {
            data.insert(start, b'.');
        }
        data.extend(b"\r\n");
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_letter_ends_it() {
        for (letter, data) in [
            (&b"a\r\n.\r\n..b\r\n"[..], &b"a\r\n..\r\n...b\r\n"[..]),
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n"),
            (b"a\r.\r\nb\r\n", b"a.\r\nb\r\n"),
            (b"\r.\r\n", b"..\r\n"),
            (b"", b"\r\n"),
        ] {
            assert_eq!(transparent(letter), data, "{:?}", String::from_utf8_lossy(letter));
        }
    }

    #[test]
    fn offers_are_read_in_any_case_and_the_servers_name_is_none() {
        let lines = ["STARTTLS.example.org", "size 1000", "Auth=LOGIN plain GSSAPI", "8BITMIME", "", "x"];
        let offers = Offers::read(&Reply { code: 250, lines: lines.map(String::from).to_vec() });
        assert_eq!((offers.starttls, offers.eight_bits, offers.size), (false, true, Some(1000)));
        assert_eq!(offers.logins, [Mechanism::Login, Mechanism::Plain]);
    }
}
