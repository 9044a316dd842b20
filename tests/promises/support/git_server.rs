//! A git server that wants a password: files over HTTP, as `git update-server-info` prepares them (gitprotocol-http(5)).

use std::{
    fs,
    io::{ErrorKind, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{files::temp_dir, http::read_to, repositories::Repositories};
use base64::{Engine, engine::general_purpose::STANDARD};

pub struct GitServer {
    address: SocketAddr,
    /// As long as it is set nobody gets an answer.
    hold: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    _dir: tempfile::TempDir,
}

impl GitServer {
    /// The repositories below `/org`, for whoever says this.
    pub fn start(repositories: &Repositories, names: &[&str], user_and_password: &str) -> Self {
        let dir = temp_dir();
        for name in names {
            let bare = dir.path().join("org").join(name);
            let git = |arguments: &[&str]| {
                let git = Command::new("git").args(arguments).output().unwrap();
                assert!(git.status.success(), "{}", String::from_utf8_lossy(&git.stderr));
            };
            let (from, to) = (repositories.path(name), bare.to_string_lossy().into_owned());
            git(&["clone", "--quiet", "--bare", from.to_str().unwrap(), &to]);
            git(&["-C", &to, "update-server-info"]);
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let expected = format!("Basic {}", STANDARD.encode(user_and_password));
        let (hold, over): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let (root, holds, ended) = (dir.path().to_path_buf(), Arc::clone(&hold), Arc::clone(&over));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (root, expected, holds, ended) =
                    (root.clone(), expected.clone(), Arc::clone(&holds), Arc::clone(&ended));
                thread::spawn(move || {
                    serve(&mut stream.unwrap(), &root, &expected, &|| {
                        holds.load(Ordering::Relaxed) && !ended.load(Ordering::Relaxed)
                    });
                });
            }
        });
        Self { address, hold, over, _dir: dir }
    }

    /// `AMP_CI_GIT_BASE` for whoever has this user information.
    pub fn base(&self, user_information: &str) -> String {
        format!("http://{user_information}@{}/org", self.address)
    }

    pub fn hold(&self, hold: bool) {
        self.hold.store(hold, Ordering::Relaxed);
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &mut TcpStream, root: &Path, expected: &str, is_held: &dyn Fn() -> bool) {
    while let Ok(head) = read_to(stream, b"\r\n\r\n") {
        while is_held() {
            thread::sleep(Duration::from_millis(5));
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let says = |header: &str| head.lines().find_map(|line| line.strip_prefix(header).map(str::to_string));
        let answer = if says("Authorization: ").as_deref() == Some(expected) {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
            file(&root.join(path))
        } else {
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\n\r\n"
                .to_vec()
        };
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

fn file(path: &PathBuf) -> Vec<u8> {
    match fs::read(path) {
        Ok(bytes) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            [head.into_bytes(), bytes].concat()
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory), "{error}");
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()
        }
    }
}
