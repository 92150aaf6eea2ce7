//! What a request must look like: judged here, then written anew with the few headers that routes look at.

use super::{
    super::{routes, routes::PEER_HEADER, stream, webhook},
    BODY_BYTES_MAX,
};
use std::net::{IpAddr, SocketAddr};
use tickpath_shared::config;

/// Methods that the routes answer, if only with those that they would have served.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];
const JSON: &[u8] = b"application/json";
/// Longest `Last-Event-ID`.
const EVENT_ID_BYTES_MAX: usize = 64;

/// A request the gate does not let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) status: u16,
    pub(super) text: &'static str,
}

impl Reason {
    pub(super) const MALFORMED: Self = Self { status: 400, text: "malformed request" };
    pub(super) const VERSION: Self = Self { status: 505, text: "HTTP/1.1 only" };
    pub(super) const HOST: Self =
        Self { status: 400, text: "exactly one Host that this server answers for is needed" };
    pub(super) const ORIGIN: Self = Self { status: 403, text: "requests of foreign pages are not served" };
    pub(super) const SOURCE: Self = Self { status: 403, text: "not from this address" };
    pub(super) const ENCODING: Self = Self { status: 501, text: "Transfer-Encoding is not served" };
    pub(super) const LENGTH: Self = Self { status: 400, text: "at most one decimal Content-Length" };
    pub(super) const TOO_LARGE: Self = Self { status: 413, text: "body of more than 64 KiB" };
    pub(super) const HEAD: Self = Self { status: 431, text: "head of more than 16 KiB" };
    pub(super) const CONTENT: Self = Self { status: 415, text: "a body is application/json" };
    pub(super) const TIMEOUT: Self = Self { status: 408, text: "request not complete within 5 s" };
    pub(super) const METHOD: Self = Self { status: 405, text: "method not served" };
    pub(super) const UNAVAILABLE: Self = Self { status: 503, text: "busy" };
}

/// Hosts that requests may name.
pub(super) struct Policy {
    hosts: Vec<String>,
    /// Whose word about clients is believed.
    proxies: Vec<IpAddr>,
    /// Whose requests are served; everybody's when empty.
    sources: Vec<IpAddr>,
    /// Pages of other hosts that may read and steer.
    origins: Vec<String>,
}

impl Policy {
    pub(super) fn new(config: &config::Control, address: SocketAddr) -> Self {
        let names = config.hosts.iter().cloned().chain([address.ip().to_string()]);
        let hosts = names.flat_map(|name| [format!("{name}:{}", address.port()), name]).collect();
        // The configuration has been checked.
        let proxies = config.proxies.iter().filter(|_| config.behind_proxy).filter_map(|p| p.parse().ok());
        let sources = config.sources.iter().filter_map(|source| source.parse().ok());
        Self {
            hosts,
            proxies: proxies.collect(),
            sources: sources.collect(),
            origins: config.origins.clone(),
        }
    }

    /// Whose request it is: the last word of a proxy that is known, else of nobody but the connection.
    fn client(&self, peer: IpAddr, forwarded: &[&[u8]]) -> IpAddr {
        let said = forwarded.last().filter(|_| self.proxies.contains(&peer));
        let address = |text: &str| {
            text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        };
        let last =
            said.and_then(|value| address(std::str::from_utf8(value).ok()?.rsplit(',').next()?.trim()));
        last.unwrap_or(peer)
    }

    fn allows_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    /// Browsers name the page that sends a request. A page of our own hosts may do what it likes, one of a listed host too,
    /// and is told so.
    fn page(&self, origin: &[u8]) -> Page {
        let Ok(origin) = std::str::from_utf8(origin) else { return Page::Foreign };
        if origin.split_once("://").is_some_and(|(_, host)| self.allows_host(host)) {
            return Page::Own;
        }
        // Its own spelling, which the browser compares to the byte.
        match self.origins.iter().any(|listed| listed.eq_ignore_ascii_case(origin)) {
            true => Page::Listed(origin.to_owned()),
            false => Page::Foreign,
        }
    }
}

/// Where a page that sends a request comes from.
enum Page {
    Own,
    Listed(String),
    Foreign,
}

/// A head that was judged.
#[derive(Debug)]
pub(super) struct Head {
    /// In the form that goes to tiny_http.
    pub(super) clean: String,
    /// Bytes of the body that follows.
    pub(super) body_bytes: usize,
    /// It waits for no other request.
    pub(super) is_urgent: bool,
    /// A page of a listed host sends it and may read the answer.
    pub(super) page: Option<String>,
    /// Whose it is, a proxy's word taken.
    pub(super) client: IpAddr,
    /// What becomes of it.
    pub(super) purpose: Purpose,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is answered.
    Answer,
    /// A browser asks whether a page of a listed host may ask.
    Preflight,
    /// It is sent events, behind the one that it names.
    Stream(Option<String>),
}

/// Judges a head, its empty line included, and writes it anew with the few headers that routes look at.
pub(super) fn check_head(bytes: &[u8], policy: &Policy, peer: IpAddr) -> Result<Head, Reason> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    parse(bytes, &mut request)?;
    let values = |name: &str| -> Vec<&[u8]> {
        request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect()
    };
    let method = request.method.unwrap_or_default();
    if !METHODS.contains(&method) {
        return Err(Reason::METHOD);
    }
    if !values("transfer-encoding").is_empty() {
        return Err(Reason::ENCODING);
    }
    let body_bytes = check_length(&values("content-length"))?;
    let host = check_host(&values("host"), policy)?;
    let path = request.path.filter(|p| p.starts_with('/')).ok_or(Reason::MALFORMED)?;
    let is_alert = path.starts_with(webhook::PREFIX);
    let peer = policy.client(peer, &values("x-forwarded-for"));
    // Alerts have a list of their own.
    if !policy.sources.is_empty() && !is_alert && !policy.sources.contains(&peer) {
        return Err(Reason::SOURCE);
    }
    let page = check_origin(&values("origin"), method, policy)?;
    if page.is_none() && is_embedded(&values("sec-fetch-site"), &values("sec-fetch-mode")) {
        return Err(Reason::ORIGIN);
    }
    // Forms of foreign pages cannot say this of themselves. Alerts say what they like, and carry a secret.
    if body_bytes > 0 && !is_alert && !is_json(&values("content-type")) {
        return Err(Reason::CONTENT);
    }
    let authorization = authorization(&values("authorization"))?;
    let clean = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}{PEER_HEADER}: {peer}\r\n\
         Content-Length: {body_bytes}\r\nConnection: close\r\n\r\n"
    );
    let bare = path.split('?').next().unwrap_or_default();
    let is_asking_first = page.is_some() && !values("access-control-request-method").is_empty();
    let purpose = match method {
        "OPTIONS" if is_asking_first => Purpose::Preflight,
        "GET" if bare == stream::PATH => Purpose::Stream(event_id(&values("last-event-id"))),
        _ => Purpose::Answer,
    };
    let is_urgent = routes::has_threads_of_its_own(bare);
    Ok(Head { clean, body_bytes, is_urgent, page, client: peer, purpose })
}

fn parse<'b>(bytes: &'b [u8], request: &mut httparse::Request<'_, 'b>) -> Result<(), Reason> {
    // The parser takes bare line feeds for ends of lines; who stands in front of us may not.
    let is_bare = |at: usize| bytes[at] == b'\n' && (at == 0 || bytes[at - 1] != b'\r');
    if (0..bytes.len()).any(is_bare) {
        return Err(Reason::MALFORMED);
    }
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length != bytes.len() => Err(Reason::MALFORMED),
        Ok(httparse::Status::Complete(_)) if request.version == Some(1) => Ok(()),
        Ok(httparse::Status::Complete(_)) | Err(httparse::Error::Version) => Err(Reason::VERSION),
        Err(httparse::Error::TooManyHeaders) => Err(Reason::HEAD),
        _ => Err(Reason::MALFORMED),
    }
}

fn check_host<'a>(values: &[&'a [u8]], policy: &Policy) -> Result<&'a str, Reason> {
    let [host] = values else { return Err(Reason::HOST) };
    std::str::from_utf8(host).ok().filter(|host| policy.allows_host(host)).ok_or(Reason::HOST)
}

/// The page of a listed host that sends a request. Foreign pages change nothing; what they read, their browser keeps.
fn check_origin(values: &[&[u8]], method: &str, policy: &Policy) -> Result<Option<String>, Reason> {
    let mut listed = None;
    for page in values.iter().map(|origin| policy.page(origin)) {
        match page {
            Page::Own => {}
            Page::Listed(origin) => listed = Some(origin),
            Page::Foreign if method == "GET" => {}
            Page::Foreign => return Err(Reason::ORIGIN),
        }
    }
    Ok(listed)
}

/// Images and scripts of foreign pages name no origin, but browsers say so much. A link may be followed.
fn is_embedded(site: &[&[u8]], mode: &[&[u8]]) -> bool {
    site.contains(&b"cross-site".as_slice()) && !mode.contains(&b"navigate".as_slice())
}

fn is_json(content_types: &[&[u8]]) -> bool {
    let kind = content_types.first().and_then(|value| value.split(|b| *b == b';').next());
    kind.is_some_and(|kind| kind.trim_ascii() == JSON)
}

fn event_id(values: &[&[u8]]) -> Option<String> {
    let [value] = values else { return None };
    let is_id = value.len() <= EVENT_ID_BYTES_MAX && value.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    is_id.then(|| String::from_utf8_lossy(value).into_owned())
}

/// The header as it is handed on, empty where there is none.
fn authorization(values: &[&[u8]]) -> Result<String, Reason> {
    match values {
        [] => Ok(String::new()),
        // What is not plain text is no token, and stands in no header.
        [value] if value.iter().all(|b| (b' '..=b'~').contains(b)) => {
            Ok(format!("Authorization: {}\r\n", String::from_utf8_lossy(value)))
        }
        _ => Err(Reason::MALFORMED),
    }
}

fn check_length(values: &[&[u8]]) -> Result<usize, Reason> {
    let [value] = values else {
        return if values.is_empty() { Ok(0) } else { Err(Reason::LENGTH) };
    };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Reason::LENGTH);
    }
    let length = std::str::from_utf8(value).ok().and_then(|v| v.parse::<usize>().ok());
    length.filter(|bytes| *bytes <= BODY_BYTES_MAX).ok_or(Reason::TOO_LARGE)
}

#[cfg(test)]
mod tests;
