//! What is at which path.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::Timestamp;

use super::{badge, feed, log, metrics, pages};
use crate::{
    home::Home,
    queue::{EntryId, fields::full_ref},
    status::{
        Build, Document, Reader,
        build::BuildDocument,
        document::{Finished, Problem},
        folder::Folder,
        records::{self, RecordState},
    },
};

/// So many builds are on a page of the list.
const LISTED: usize = 100;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A script can do nothing but fetch from here, and nothing is inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the pages are made of.
#[derive(Debug)]
pub struct Site {
    home: Home,
    reader: Mutex<Reader>,
    /// Where people reach it, without a slash at its end.
    url: Option<String>,
    /// In each tag and in the addresses of what may be cached: a new program has other pages.
    version: String,
}

impl Site {
    /// `url` is where people reach it, if that is known.
    pub fn new(home: &Home, url: Option<&str>) -> Self {
        Self {
            home: home.clone(),
            reader: Mutex::new(Reader::new(home)),
            url: url.map(|url| url.trim_end_matches('/').to_string()),
            version: format!("{:x}", RandomState::new().hash_one(0)),
        }
    }

    fn reader(&self) -> std::sync::MutexGuard<'_, Reader> {
        // What a panic left behind is at worst a cache with less in it.
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host of the URL, without its port.
    fn host(&self) -> Option<&str> {
        let authority = self.url.as_deref()?.split_once("://").map(|(_, rest)| rest)?;
        Some(without_port(authority.split('/').next().unwrap_or(authority)))
    }
}

/// Everything that the site answers.
pub fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/builds", get(builds))
        .route("/builds/{id}", get(build))
        .route("/builds/{id}/output.log", get(output))
        .route("/branches", get(branches))
        .route("/branch", get(branch))
        .route("/status.json", get(status_json))
        .route("/badge.svg", get(badge_svg))
        .route("/failures.atom", get(failures))
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(healthz))
        .route("/style.css", get(async || fixed("text/css; charset=utf-8", STYLE)))
        .route("/script.js", get(async || fixed("text/javascript; charset=utf-8", SCRIPT)))
        .route("/icon-{colour}", get(icon))
        .fallback(async || plain(StatusCode::NOT_FOUND, "there is no such page\n"))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), guard))
        .with_state(site)
}

/// Refuses names that are not ours (DNS rebinding), and says what a browser may do with the answer.
async fn guard(State(site): State<Arc<Site>>, mut request: Request, next: Next) -> Response {
    let is_badge = request.uri().path() == "/badge.svg";
    let mut response = if is_for_us(&request, site.host()) {
        if request.method() == Method::HEAD {
            // A part can be asked for with GET alone (RFC 9110, 14.2).
            request.headers_mut().remove(header::RANGE);
        }
        next.run(request).await
    } else {
        plain(
            StatusCode::MISDIRECTED_REQUEST,
            "this page is not known by that name: statusd --url sets the one it has\n",
        )
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    if !is_badge {
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    }
    response
}

/// Is it told our names alone? There may be one in the target too (RFC 9112, 3.2.2), and who names two is not believed.
fn is_for_us(request: &Request, ours: Option<&str>) -> bool {
    let hosts = request.headers().get_all(header::HOST).iter().map(|host| host.to_str().ok());
    let target = request.uri().authority().map(|authority| Some(authority.as_str()));
    let mut names = hosts.chain(target).peekable();
    names.peek().is_some() && names.all(|name| name.is_some_and(|name| is_ours(name, ours)))
}

/// An address, localhost, or the host of the URL.
fn is_ours(host: &str, ours: Option<&str>) -> bool {
    let name = without_port(host);
    let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    is_address
        || name.eq_ignore_ascii_case("localhost")
        || ours.is_some_and(|ours| name.eq_ignore_ascii_case(ours))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => authority,
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn fixed(content_type: &'static str, text: &'static str) -> Response {
    // Their addresses change with the program.
    ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "max-age=31536000, immutable")], text)
        .into_response()
}

/// Answers with what `make` makes of the document, unless the client has it already. On a thread that may wait for the
/// disk.
async fn documented(
    site: Arc<Site>,
    headers: HeaderMap,
    content_type: &'static str,
    make: impl FnOnce(&Site, &Document) -> Option<Vec<u8>> + Send + 'static,
) -> Response {
    let answer = tokio::task::spawn_blocking(move || {
        let mut reader = site.reader();
        let look = reader.look(Timestamp::now());
        let tag = format!("W/\"{}-{:x}\"", site.version, look.tag());
        let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|tags| tags.split(',').any(|known| known.trim() == tag || known.trim() == "*"))
        });
        if known {
            return (tag, None);
        }
        let document = reader.complete(look);
        // Others may read while this is made into a page.
        drop(reader);
        (tag, Some(make(&site, &document)))
    });
    match answer.await {
        Ok((tag, None)) => (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response(),
        Ok((tag, Some(Some(body)))) => {
            ([(header::CONTENT_TYPE, content_type.to_string()), (header::ETAG, tag)], body).into_response()
        }
        Ok((_, Some(None))) => plain(StatusCode::NOT_FOUND, "there is no such build\n"),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n"),
    }
}

const HTML: &str = "text/html; charset=utf-8";

async fn home(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    documented(site, headers, HTML, |site, document| {
        pages::home(document, &site.version).ok().map(String::into_bytes)
    })
    .await
}

async fn builds(State(site): State<Arc<Site>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let before = value(query.as_deref(), "before").and_then(|before| EntryId::parse(&before));
    documented(site, headers, HTML, move |site, document| {
        let (builds, older) = listed(&site.home, document, before.as_ref());
        pages::builds(document, &site.version, &builds, older).ok().map(String::into_bytes)
    })
    .await
}

/// A page of the list: from what is on view, or else by names.
fn listed(
    home: &Home,
    document: &Document,
    before: Option<&EntryId>,
) -> (Vec<Arc<Finished>>, Option<EntryId>) {
    let is_older = |build: &&Arc<Finished>| before.is_none_or(|before| build.asked.id < *before);
    let mut builds: Vec<_> = document.recent.iter().filter(is_older).take(LISTED + 1).cloned().collect();
    if builds.len() <= LISTED
        && let Ok(folder) = Folder::open(&home.builds())
    {
        let last = builds.last().map(|build| build.asked.id.clone()).or_else(|| before.cloned());
        let ids = last
            .and_then(|last| records::newest_before(&folder, Some(&last), LISTED + 1 - builds.len()).ok());
        builds.extend(ids.into_iter().flat_map(|(ids, _)| ids).filter_map(|id| {
            match records::read(&folder, &id) {
                RecordState::Final(build) => Some(build),
                RecordState::Begun { .. } | RecordState::Gone => None,
            }
        }));
    }
    let has_more = builds.len() > LISTED;
    builds.truncate(LISTED);
    let older = builds.last().filter(|_| has_more).map(|build| build.asked.id.clone());
    (builds, older)
}

async fn branches(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    documented(site, headers, HTML, |site, document| {
        pages::branches(document, &site.version).ok().map(String::into_bytes)
    })
    .await
}

async fn branch(State(site): State<Arc<Site>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let repository = value(query.as_deref(), "repository").unwrap_or_default();
    let git_ref = value(query.as_deref(), "ref").unwrap_or_default();
    documented(site, headers, HTML, move |site, document| {
        pages::branch(document, &site.version, &repository, &git_ref).ok().map(String::into_bytes)
    })
    .await
}

async fn build(State(site): State<Arc<Site>>, headers: HeaderMap, Path(name): Path<String>) -> Response {
    let (text, is_json) = match name.strip_suffix(".json") {
        Some(text) => (text, true),
        None => (name.as_str(), false),
    };
    let Some(id) = EntryId::parse(text) else {
        return plain(StatusCode::NOT_FOUND, "there is no such build\n");
    };
    let content_type = if is_json { "application/json" } else { HTML };
    documented(site, headers, content_type, move |site, document| {
        let build = Build::find(document, &site.home, &id)?;
        if is_json {
            return serde_json::to_vec(&BuildDocument { schema: 1, now: document.now, build }).ok();
        }
        pages::build(document, &site.version, &site.home, &id, &build).ok().map(String::into_bytes)
    })
    .await
}

async fn output(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(id) = EntryId::parse(&name) else {
        return plain(StatusCode::NOT_FOUND, "there is no such build\n");
    };
    let follow = query
        .is_some_and(|query| query.split('&').any(|part| part == "follow" || part.starts_with("follow=")));
    log::answer(&site.home, &id, &headers, follow).await
}

async fn status_json(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    documented(site, headers, "application/json", |_, document| serde_json::to_vec(document).ok()).await
}

async fn failures(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let named =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost").to_string();
    documented(site, headers, "application/atom+xml; charset=utf-8", move |site, document| {
        let base = site.url.clone().unwrap_or_else(|| format!("http://{named}"));
        let host = site.host().unwrap_or_else(|| without_port(&named)).to_string();
        Some(feed::atom(document, &base, &host).into_bytes())
    })
    .await
}

async fn metrics_text(State(site): State<Arc<Site>>) -> Response {
    documented(site, HeaderMap::new(), metrics::CONTENT_TYPE, |_, document| {
        Some(metrics::text(document).into_bytes())
    })
    .await
}

async fn badge_svg(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Response {
    let repository = value(query.as_deref(), "repository").unwrap_or_default();
    let git_ref = value(query.as_deref(), "ref");
    let made = documented(site, HeaderMap::new(), "image/svg+xml", move |_, document| {
        let wanted = git_ref.as_deref().map(full_ref);
        let is_meant = |build: &&Arc<Finished>| {
            build.asked.repository.as_deref() == Some(&repository)
                && (wanted.is_none() || build.asked.git_ref == wanted)
        };
        // Of one branch its state; of a repository what came last.
        let outcome = match &wanted {
            Some(wanted) => document
                .branches
                .iter()
                .find(|branch| branch.repository == repository && branch.git_ref == *wanted)
                .and_then(|branch| branch.outcome),
            None => document
                .recent
                .iter()
                .filter(is_meant)
                .filter_map(|build| build.outcome)
                .find(|outcome| outcome.is_counted()),
        };
        Some(badge::svg("build", badge::message(outcome)).into_bytes())
    });
    let mut response = made.await;
    // GitHub's proxy for images keeps what it is not told to forget.
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, must-revalidate, max-age=0"),
    );
    headers.insert(header::EXPIRES, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
    response
}

async fn healthz(State(site): State<Arc<Site>>) -> Response {
    let problems = tokio::task::spawn_blocking(move || site.reader().look(Timestamp::now()).problems).await;
    let (status, text) = match problems {
        Ok(problems) if problems.is_empty() => (StatusCode::OK, "status: ok\n".to_string()),
        Ok(problems) => {
            let line =
                |problem: &Problem| format!("{}: {}\n", problem.check, crate::text::printable(&problem.text));
            (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("status: failing\n{}", problems.iter().map(line).collect::<String>()),
            )
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "status: failing\n".to_string()),
    };
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], text)
        .into_response()
}

async fn icon(uri: Uri) -> Response {
    let colour = match uri.path() {
        "/icon-green.svg" => "#2f8f57",
        "/icon-red.svg" => "#cf3a32",
        "/icon-amber.svg" => "#c98500",
        "/icon-grey.svg" => "#8a8f96",
        _ => return plain(StatusCode::NOT_FOUND, "there is no such page\n"),
    };
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\"><rect x=\"1\" y=\"1\" width=\"14\" height=\"14\" rx=\"4\" fill=\"{colour}\"/></svg>"
    );
    ([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "max-age=86400")], Body::from(svg))
        .into_response()
}

/// A value of the query; what else is in it is nobody's fault.
fn value(query: Option<&str>, name: &str) -> Option<String> {
    form_urlencoded::parse(query?.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_localhost_and_the_name_of_the_url_are_ours() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8197",
            "[::1]:8197",
            "[::1]",
            "localhost:1",
            "LOCALHOST",
            "ci.example.edu",
            "CI.example.edu:443",
            "192.0.2.7",
        ] {
            assert!(is_ours(host, Some("ci.example.edu")), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "ci.example.edu.evil",
            "ci.example.edu@evil",
        ] {
            assert!(!is_ours(host, Some("ci.example.edu")), "{host}");
        }
    }
}
