//! Git over HTTP as forges serve it: git-http-backend(1), called by CGI (RFC 3875), one process for each request.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

/// Serves until the test's process ends.
pub struct GitHttp(SocketAddr);

impl GitHttp {
    /// All repositories below this directory, to everybody, for reading.
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let root = root.to_path_buf();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let root = root.clone();
                // A client that leaves is no fault of the server.
                thread::spawn(move || _ = serve(&stream, &root));
            }
        });
        Self(address)
    }

    /// What stands before a repository's name.
    pub fn base(&self) -> String {
        format!("http://{}", self.0)
    }
}

fn serve(stream: &TcpStream, root: &PathBuf) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-type" => _ = command.env("CONTENT_TYPE", value),
            "content-length" => length = value.parse().unwrap(),
            "content-encoding" => _ = command.env("HTTP_CONTENT_ENCODING", value),
            "git-protocol" => _ = command.env("HTTP_GIT_PROTOCOL", value),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut backend = command.env("CONTENT_LENGTH", length.to_string()).spawn()?;
    backend.stdin.take().unwrap().write_all(&body)?;
    let answer = backend.wait_with_output()?.stdout;
    // A script that names no status means 200 (RFC 3875, 6.3.3).
    let answer = match answer.strip_prefix(b"Status: ") {
        Some(named) => [b"HTTP/1.1 ", named].concat(),
        None => [b"HTTP/1.1 200 OK\r\n", &answer[..]].concat(),
    };
    let head = answer.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut stream = stream;
    stream.write_all(&answer[..head])?;
    stream.write_all(b"Connection: close\r\n")?;
    stream.write_all(&answer[head..])
}
