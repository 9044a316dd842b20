//! A forge of the tests' own, on a real socket. It takes statuses as GitHub, Gitea or GitLab do, holds each request
//! against the forge's published description and against the limits that this leaves out, and answers what a test
//! tells it to.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, mpsc},
    thread,
    time::Instant,
};

use serde_json::{Value, json};

/// What lets people in.
pub const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

/// Statuses of one commit and context.
const MOST_STATUSES: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    GitHub,
    Gitea,
    GitLab,
}

pub struct Forge {
    kind: Kind,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    received: Vec<Request>,
    /// What the next requests are answered with.
    next: VecDeque<Answer>,
    /// What all others are, if this is set.
    always: Option<Answer>,
    /// Per commit and context.
    statuses: HashMap<(String, String), Vec<String>>,
    /// Requests that no client of this forge may send.
    breaches: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub at: Instant,
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Value,
    /// The code that it was answered with; none if it was not.
    pub code: Option<u16>,
}

#[derive(Debug, Clone)]
pub enum Answer {
    Reply(u16, Vec<(&'static str, String)>, String),
    /// Nothing until the other side leaves.
    Silence,
    /// The connection is closed instead.
    HangUp,
    /// As the forge would, as soon as this is dropped on the other side.
    Late(Arc<Mutex<mpsc::Receiver<()>>>),
}

impl Answer {
    /// As the forge would, but not before the other value is dropped.
    pub fn late() -> (mpsc::Sender<()>, Self) {
        let (hold, until) = mpsc::channel();
        (hold, Self::Late(Arc::new(Mutex::new(until))))
    }

    pub fn code(code: u16) -> Self {
        Self::Reply(code, Vec::new(), json!({ "message": format!("this is {code}") }).to_string())
    }

    pub fn header(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Reply(code, mut headers, body) => {
                headers.push((name, value.to_string()));
                Self::Reply(code, headers, body)
            }
            other => other,
        }
    }
}

impl Request {
    /// The commit that a status is about.
    pub fn commit(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }

    pub fn state(&self) -> &str {
        self.body["state"].as_str().unwrap_or_default()
    }
}

impl Forge {
    pub fn start(kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || _ = serve(kind, &stream, &shared));
            }
        });
        Self { kind, address, state }
    }

    /// What AMP_CI_FORGE_API is set to.
    pub fn url(&self) -> String {
        let path = match self.kind {
            Kind::GitHub => "/api/v3",
            Kind::Gitea => "/api/v1",
            Kind::GitLab => "/api/v4",
        };
        format!("http://{}{path}", self.address)
    }

    /// The next request that is not answered otherwise yet gets this.
    pub fn next(&self, answer: Answer) -> &Self {
        self.state().next.push_back(answer);
        self
    }

    /// All requests get this; none: as the forge would answer.
    pub fn always(&self, answer: Option<Answer>) -> &Self {
        self.state().always = answer;
        self
    }

    pub fn received(&self) -> Vec<Request> {
        self.state().received.clone()
    }

    /// The states that were taken for this commit under this context, oldest first.
    pub fn statuses(&self, commit: &str, context: &str) -> Vec<String> {
        self.state().statuses.get(&(commit.to_string(), context.to_string())).cloned().unwrap_or_default()
    }

    /// As if so many had been sent before.
    pub fn fill(&self, commit: &str, context: &str) {
        let key = (commit.to_string(), context.to_string());
        self.state().statuses.insert(key, vec!["pending".to_string(); MOST_STATUSES]);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert_eq!(self.state().breaches, [""; 0], "no client of this forge may send that");
        }
    }
}

fn serve(kind: Kind, stream: &TcpStream, shared: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(mut request) = read(&mut reader)? {
        let answer = {
            let mut state = shared.lock().unwrap();
            let told = state.next.pop_front().or_else(|| state.always.clone());
            // Also what is not answered in the forge's own way has to be in order.
            if let Err(breach) = in_order(kind, &request) {
                state.breaches.push(format!("{breach}: {request:?}"));
            }
            let answer = told.unwrap_or_else(|| take(kind, &request, &mut state));
            request.code = match answer {
                Answer::Reply(code, ..) => Some(code),
                _ => None,
            };
            state.received.push(request.clone());
            answer
        };
        let answer = match answer {
            Answer::Late(until) => {
                let _ = until.lock().unwrap().recv();
                take(kind, &request, &mut shared.lock().unwrap())
            }
            answer => answer,
        };
        let mut stream = stream;
        match answer {
            Answer::Late(_) => unreachable!("it is not late twice"),
            Answer::HangUp => return Ok(()),
            Answer::Silence => return reader.read_to_end(&mut Vec::new()).map(|_| ()),
            Answer::Reply(code, headers, body) => {
                write!(stream, "HTTP/1.1 {code} Some Words\r\ncontent-type: application/json\r\n")?;
                for (name, value) in headers {
                    write!(stream, "{name}: {value}\r\n")?;
                }
                write!(stream, "content-length: {}\r\n\r\n{body}", body.len())?;
            }
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_string);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(Some(Request { at: Instant::now(), method, path, headers, body, code: None }))
}

/// As the forge takes a status.
fn take(kind: Kind, request: &Request, state: &mut State) -> Answer {
    if !is_let_in(kind, request) {
        return Answer::code(401);
    }
    if request.method == "GET" && request.path.ends_with("/user") {
        return Answer::code(200).header("x-oauth-scopes", "repo:status, admin:org");
    }
    let text = |name: &str| request.body[name].as_str().unwrap_or_default().to_string();
    if text("description").chars().count() > 140 && kind != Kind::Gitea {
        return Answer::code(422);
    }
    let context = text(if kind == Kind::GitLab { "name" } else { "context" });
    let statuses = state.statuses.entry((request.commit().to_string(), context)).or_default();
    if statuses.len() >= MOST_STATUSES {
        return Answer::code(422);
    }
    if kind == Kind::GitLab && statuses.last().is_some_and(|last| last == request.state()) {
        let message = "Cannot transition status via :run from :running (Reason(s): Status cannot transition via \"run\")";
        return Answer::Reply(400, Vec::new(), json!({ "message": message }).to_string());
    }
    statuses.push(request.state().to_string());
    Answer::Reply(201, Vec::new(), description_of_github().map_or("{}".to_string(), example))
}

fn is_let_in(kind: Kind, request: &Request) -> bool {
    let header = |name: &str| request.headers.get(name).map(String::as_str).unwrap_or_default();
    match kind {
        Kind::GitHub => header("authorization") == format!("Bearer {TOKEN}"),
        Kind::Gitea => header("authorization") == format!("token {TOKEN}"),
        Kind::GitLab => header("private-token") == TOKEN,
    }
}

/// What the forge's description says of a request, and what its documents say besides.
fn in_order(kind: Kind, request: &Request) -> Result<(), String> {
    let header = |name: &str| request.headers.get(name).map(String::as_str).unwrap_or_default();
    if header("user-agent").is_empty() {
        return Err("no User-Agent, which GitHub answers with 403".to_string());
    }
    let root = match kind {
        Kind::GitHub => "/api/v3",
        Kind::Gitea => "/api/v1",
        Kind::GitLab => "/api/v4",
    };
    let path = request.path.strip_prefix(root).ok_or("it is not below the API's address")?;
    if kind == Kind::GitHub
        && (header("accept"), header("x-github-api-version")) != ("application/vnd.github+json", "2022-11-28")
    {
        return Err("GitHub wants to be asked for its own type and version".to_string());
    }
    if request.method == "GET" {
        return if path == "/user" { Ok(()) } else { Err("nobody asks for that".to_string()) };
    }
    if header("content-type") != "application/json" {
        return Err("a body of JSON has to say so".to_string());
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let is_commit = |sha: &str| matches!(sha.len(), 40 | 64) && sha.bytes().all(|b| b.is_ascii_hexdigit());
    match (kind, &segments[..]) {
        // Where a renamed repository has gone.
        (_, ["repositories", _, "statuses", sha]) if is_commit(sha) => {}
        (Kind::GitHub | Kind::Gitea, ["repos", _, _, "statuses", sha]) if is_commit(sha) => {}
        // The project's path is one segment.
        (Kind::GitLab, ["projects", project, "statuses", sha])
            if is_commit(sha) && project.contains("%2F") => {}
        _ => return Err("no such path".to_string()),
    }
    match kind {
        Kind::GitHub => match description_of_github() {
            Some(description) => fits(&request.body, schema(description)),
            None => fits(&request.body, &gitea_schema()),
        },
        Kind::Gitea => fits(&request.body, &gitea_schema()),
        Kind::GitLab => fits(&request.body, &gitlab_schema()),
    }
}

/// Gitea's and Forgejo's `CreateStatusOption`.
fn gitea_schema() -> Value {
    json!({ "properties": {
        "context": { "type": "string" },
        "description": { "type": "string" },
        "state": { "type": "string", "enum": ["pending", "success", "error", "failure", "warning"] },
        "target_url": { "type": "string" },
    }, "required": ["state"] })
}

/// GitLab's "Set commit pipeline status".
fn gitlab_schema() -> Value {
    json!({ "properties": {
        "state": { "type": "string", "enum": ["pending", "running", "success", "failed", "canceled", "skipped"] },
        "ref": { "type": "string" },
        "name": { "type": "string" },
        "target_url": { "type": "string" },
        "description": { "type": "string" },
        "coverage": { "type": "number" },
        "pipeline_id": { "type": "integer" },
    }, "required": ["state"] })
}

/// As much of JSON Schema as these descriptions use.
fn fits(body: &Value, schema: &Value) -> Result<(), String> {
    let body = body.as_object().ok_or("the body is no object")?;
    let properties = schema["properties"].as_object().ok_or("the description has no properties")?;
    for required in schema["required"].as_array().into_iter().flatten() {
        if !body.contains_key(required.as_str().unwrap()) {
            return Err(format!("{required} is missing"));
        }
    }
    for (name, value) in body {
        let property = properties.get(name).ok_or(format!("{name} is not described"))?;
        if property["type"] != "string" || !value.is_string() {
            return Err(format!("{name} is no string"));
        }
        if property["enum"].as_array().is_some_and(|values| !values.contains(value)) {
            return Err(format!("{value} is no {name}"));
        }
        if name == "target_url" && !value.as_str().unwrap().starts_with("http") {
            return Err(format!("{value} is no address of a page"));
        }
    }
    Ok(())
}

const OPENAPI: &str = "target/openapi/api.github.com.json";

/// GitHub's own description, where the set-up has put it.
pub fn description_of_github() -> Option<&'static Value> {
    static DESCRIPTION: OnceLock<Option<Value>> = OnceLock::new();
    let read = || {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(OPENAPI);
        Some(serde_json::from_slice(&fs::read(path).ok()?).expect("it is JSON"))
    };
    DESCRIPTION.get_or_init(read).as_ref()
}

/// Why requests to GitHub are not held against its description, if they are not.
pub fn no_description() -> Option<&'static str> {
    description_of_github()
        .is_none()
        .then_some("target/openapi has no api.github.com.json: .ci/run says how to get it")
}

fn schema(description: &Value) -> &Value {
    let post = &description["paths"]["/repos/{owner}/{repo}/statuses/{sha}"]["post"];
    assert!(post["responses"]["201"].is_object(), "a status is created");
    &post["requestBody"]["content"]["application/json"]["schema"]
}

fn example(description: &Value) -> String {
    description["components"]["examples"]["status"]["value"].to_string()
}
