//! The gate: accepts TCP itself, reads one request under limits and a deadline, demands the shape that
//! tiny_http cannot be trusted to judge, and hands one clean request with `Connection: close` to tiny_http on
//! a Unix socket in a private directory.

use super::{
    Shared, alerts, history,
    routes::{self, PEER_HEADER},
};
use crate::auth::TokenFile;
use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use thiserror::Error;
use tickpath_shared::{config, paths::DataDir};

const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Time a client has for its whole request.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);
/// Connections at once, waiting ones included.
const CONNECTIONS_MAX: usize = 64;
/// Connections of one peer address at once.
const PEER_MAX: usize = 16;
const WORKERS: usize = 24;
/// Threads that answer; kill has its own, so that it waits for no other request.
const BACKENDS: usize = 4;
const BACKENDS_URGENT: usize = 2;
/// Longest wait for an answer: verbs wait seconds for the hot process.
const BACKEND_DEADLINE: Duration = Duration::from_secs(30);
/// Time that a client has to read its answer, and the longest answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Methods that the routes answer, if only with those that they would have served.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];
const JSON: &[u8] = b"application/json";

/// Why the interface could not be opened.
#[derive(Debug, Error)]
pub enum GateError {
    /// Not an address.
    #[error("control.bind: {0:?} is no address with port")]
    Address(String),
    /// Reachable from other hosts without protection.
    #[error("control.bind: {0} is not a loopback address: {1}")]
    Unprotected(SocketAddr, &'static str),
    /// The port is taken, or the socket directory unusable.
    #[error("control.bind: {address}: {source}")]
    Bind {
        /// What was asked for.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The open interface.
pub struct Gate {
    address: SocketAddr,
    sockets: [PathBuf; 2],
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Gate {
    /// Opens the interface and serves until dropped.
    ///
    /// # Errors
    ///
    /// [`GateError`].
    pub fn start(
        config: &config::Control,
        shared: Arc<Shared>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, GateError> {
        let address: SocketAddr = config.bind.parse().map_err(|_| GateError::Address(config.bind.clone()))?;
        if let Some(missing) = unprotected(config, address, &shared.data) {
            return Err(GateError::Unprotected(address, missing));
        }
        let bind = |source| GateError::Bind { address: config.bind.clone(), source };
        let listener = TcpListener::bind(address).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let sockets = ["http.sock", "http-urgent.sock"].map(|name| shared.data.run().join(name));
        for (socket, threads) in sockets.iter().zip([BACKENDS, BACKENDS_URGENT]) {
            start_backend(socket, threads, &shared).map_err(bind)?;
        }
        let policy = Arc::new(Policy::new(config, address));
        let (sender, receiver) = sync_channel(CONNECTIONS_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        let open = Arc::new(Open::default());
        for _ in 0..WORKERS {
            let worker = Worker {
                receiver: Arc::clone(&receiver),
                sockets: sockets.clone(),
                policy: Arc::clone(&policy),
                open: Arc::clone(&open),
            };
            std::thread::spawn(move || worker.run());
        }
        let flag = Arc::clone(&stop);
        let acceptor = std::thread::spawn(move || accept(&listener, &sender, &open, &flag));
        let threads = vec![acceptor, history::start(shared, Arc::clone(&stop))];
        Ok(Self { address, sockets, stop, threads })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        for socket in &self.sockets {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// What keeps an interface from being one that other hosts reach.
fn unprotected(config: &config::Control, address: SocketAddr, data: &DataDir) -> Option<&'static str> {
    if config.behind_proxy && config.open_reads {
        return Some(
            "control.open_reads lets whoever the proxy lets through read everything; set it to false",
        );
    }
    if address.ip().is_loopback() && !config.behind_proxy {
        return None;
    }
    if !config.behind_proxy {
        return Some("put a proxy that ends TLS in front of it and set control.behind_proxy");
    }
    let is_locked = TokenFile::new(data).list().is_ok_and(|tokens| !tokens.is_empty());
    (!is_locked).then_some("make a token first: `tickpath token create`")
}

/// tiny_http on a Unix socket that only this user can reach.
fn start_backend(socket: &Path, threads: usize, shared: &Arc<Shared>) -> io::Result<()> {
    if let Some(dir) = socket.parent() {
        tickpath_shared::paths::create_private_dir(dir)?;
    }
    let _ = std::fs::remove_file(socket);
    let server = tiny_http::Server::http_unix(socket).map_err(io::Error::other)?;
    let server = Arc::new(server);
    for _ in 0..threads {
        let (server, shared) = (Arc::clone(&server), Arc::clone(shared));
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                routes::serve(request, &shared);
            }
        });
    }
    Ok(())
}

/// Connections at once, and by peer.
#[derive(Default)]
struct Open {
    all: AtomicUsize,
    peers: Mutex<std::collections::HashMap<IpAddr, usize>>,
}

impl Open {
    fn enter(&self, peer: SocketAddr) -> bool {
        let Ok(mut peers) = self.peers.lock() else { return false };
        if self.all.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            return false;
        }
        let count = peers.entry(peer.ip()).or_default();
        if *count >= PEER_MAX.max(CONNECTIONS_MAX * usize::from(peer.ip().is_loopback())) {
            return false;
        }
        *count += 1;
        self.all.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn leave(&self, peer: SocketAddr) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        if let Ok(mut peers) = self.peers.lock()
            && let Some(count) = peers.get_mut(&peer.ip())
        {
            *count -= 1;
            if *count == 0 {
                peers.remove(&peer.ip());
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    sender: &SyncSender<(TcpStream, SocketAddr)>,
    open: &Open,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((mut stream, peer)) => {
                if !open.enter(peer) {
                    refuse(&mut stream, Reason::UNAVAILABLE);
                } else if let Err(TrySendError::Full((mut stream, _))) = sender.try_send((stream, peer)) {
                    open.leave(peer);
                    refuse(&mut stream, Reason::UNAVAILABLE);
                }
            }
            // Out of descriptors, or a client that gave up: the loop goes on either way.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Hosts that requests may name.
struct Policy {
    hosts: Vec<String>,
    /// Whose word about clients is believed.
    proxies: Vec<IpAddr>,
}

impl Policy {
    fn new(config: &config::Control, address: SocketAddr) -> Self {
        let names = config.hosts.iter().cloned().chain([address.ip().to_string()]);
        let hosts = names.flat_map(|name| [format!("{name}:{}", address.port()), name]).collect();
        // The configuration has been checked.
        let proxies = config.proxies.iter().filter(|_| config.behind_proxy).filter_map(|p| p.parse().ok());
        Self { hosts, proxies: proxies.collect() }
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

    /// Browsers name the page that sends a request; only pages of our own hosts may.
    fn allows_origin(&self, origin: &str) -> bool {
        origin.split_once("://").is_some_and(|(_, host)| self.allows_host(host))
    }
}

struct Worker {
    receiver: Arc<Mutex<Receiver<(TcpStream, SocketAddr)>>>,
    sockets: [PathBuf; 2],
    policy: Arc<Policy>,
    open: Arc<Open>,
}

impl Worker {
    fn run(&self) {
        loop {
            let next = self.receiver.lock().ok().and_then(|receiver| receiver.recv().ok());
            let Some((mut stream, peer)) = next else { return };
            if let Err(refusal) = self.serve(&mut stream, peer.ip()) {
                refuse(&mut stream, refusal);
            }
            self.open.leave(peer);
        }
    }

    fn serve(&self, stream: &mut TcpStream, peer: IpAddr) -> Result<(), Reason> {
        let _ = stream.set_nonblocking(false);
        let request = read_request(stream, &self.policy, peer)?;
        let [ordinary, urgent] = &self.sockets;
        let socket = if request.is_urgent { urgent } else { ordinary };
        let answer = ask(socket, &request.clean).map_err(|_| Reason::UNAVAILABLE)?;
        // A client that leaves in the middle, or reads too slowly, only costs this copy.
        let _ = write_within(stream, &answer, Instant::now() + ANSWER_DEADLINE);
        Ok(())
    }
}

/// The whole answer of tiny_http, so that no slow client holds a thread behind the gate.
fn ask(socket: &Path, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut backend = UnixStream::connect(socket)?;
    backend.set_read_timeout(Some(BACKEND_DEADLINE))?;
    backend.write_all(request)?;
    let mut answer = Vec::new();
    backend.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn write_within(stream: &mut TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        match stream.write(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

/// A request the gate does not let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    status: u16,
    text: &'static str,
}

impl Reason {
    const MALFORMED: Self = Self { status: 400, text: "malformed request" };
    const VERSION: Self = Self { status: 505, text: "HTTP/1.1 only" };
    const HOST: Self = Self { status: 400, text: "exactly one Host that this server answers for is needed" };
    const ORIGIN: Self = Self { status: 403, text: "requests of foreign pages are not served" };
    const ENCODING: Self = Self { status: 501, text: "Transfer-Encoding is not served" };
    const LENGTH: Self = Self { status: 400, text: "at most one decimal Content-Length" };
    const TOO_LARGE: Self = Self { status: 413, text: "body of more than 64 KiB" };
    const HEAD: Self = Self { status: 431, text: "head of more than 16 KiB" };
    const CONTENT: Self = Self { status: 415, text: "a body is application/json" };
    const TIMEOUT: Self = Self { status: 408, text: "request not complete within 5 s" };
    const METHOD: Self = Self { status: 405, text: "method not served" };
    const UNAVAILABLE: Self = Self { status: 503, text: "busy" };
}

fn refuse(stream: &mut TcpStream, refusal: Reason) {
    let body = format!("{{\"error\":\"{}\"}}", refusal.text);
    let allow = if refusal == Reason::METHOD { "Allow: GET, HEAD, POST\r\n" } else { "" };
    let answer = format!(
        "HTTP/1.1 {} Refused\r\nContent-Type: application/json\r\n{allow}Content-Length: {}\r\nConnection: close\r\n\r\n\
         {body}",
        refusal.status,
        body.len()
    );
    let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
    let _ = stream.write_all(answer.as_bytes());
}

/// A request in the form that goes to tiny_http.
struct Clean {
    clean: Vec<u8>,
    is_urgent: bool,
}

/// Reads one whole request.
fn read_request(stream: &mut TcpStream, policy: &Policy, peer: IpAddr) -> Result<Clean, Reason> {
    let deadline = Instant::now() + REQUEST_DEADLINE;
    let mut bytes = Vec::with_capacity(2048);
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(Reason::HEAD);
        }
        read_some(stream, &mut bytes, deadline)?;
    };
    if head_end > HEAD_BYTES_MAX {
        return Err(Reason::HEAD);
    }
    let head = check_head(&bytes[..head_end], policy, peer)?;
    while bytes.len() < head_end + head.body_bytes {
        read_some(stream, &mut bytes, deadline)?;
    }
    let mut clean = head.clean.into_bytes();
    clean.extend_from_slice(&bytes[head_end..head_end + head.body_bytes]);
    Ok(Clean { clean, is_urgent: head.is_urgent })
}

fn read_some(stream: &mut TcpStream, bytes: &mut Vec<u8>, deadline: Instant) -> Result<(), Reason> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
        return Err(Reason::TIMEOUT);
    }
    let mut chunk = [0; 4096];
    match stream.read(&mut chunk) {
        Ok(0) => Err(Reason::MALFORMED),
        Ok(n) => {
            bytes.extend_from_slice(&chunk[..n]);
            Ok(())
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(Reason::TIMEOUT)
        }
        Err(_) => Err(Reason::MALFORMED),
    }
}

#[derive(Debug)]
struct Head {
    clean: String,
    body_bytes: usize,
    is_urgent: bool,
}

/// Judges a head and writes it anew with the few headers that routes look at.
fn check_head(bytes: &[u8], policy: &Policy, peer: IpAddr) -> Result<Head, Reason> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Reason::HEAD),
        Err(httparse::Error::Version) => return Err(Reason::VERSION),
        _ => return Err(Reason::MALFORMED),
    }
    if request.version != Some(1) {
        return Err(Reason::VERSION);
    }
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
    let host = match values("host").as_slice() {
        [host] => {
            std::str::from_utf8(host).ok().filter(|host| policy.allows_host(host)).ok_or(Reason::HOST)?
        }
        _ => return Err(Reason::HOST),
    };
    let is_foreign = |origin: &&[u8]| !std::str::from_utf8(origin).is_ok_and(|o| policy.allows_origin(o));
    if method != "GET" && values("origin").iter().any(is_foreign) {
        return Err(Reason::ORIGIN);
    }
    let path = request.path.filter(|p| p.starts_with('/')).ok_or(Reason::MALFORMED)?;
    let is_json =
        |value: &&[u8]| value.split(|b| *b == b';').next().is_some_and(|kind| kind.trim_ascii() == JSON);
    // Forms of foreign pages cannot say this of themselves. Alerts say what they like, and carry a secret.
    let is_alert = request.path.is_some_and(|path| path.starts_with(alerts::PREFIX));
    if body_bytes > 0 && !is_alert && !values("content-type").first().is_some_and(is_json) {
        return Err(Reason::CONTENT);
    }
    let authorization = authorization(&values("authorization"))?;
    let peer = policy.client(peer, &values("x-forwarded-for"));
    let clean = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}{PEER_HEADER}: {peer}\r\n\
         Content-Length: {body_bytes}\r\nConnection: close\r\n\r\n"
    );
    let is_urgent = routes::has_threads_of_its_own(path.split('?').next().unwrap_or_default());
    Ok(Head { clean, body_bytes, is_urgent })
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
mod tests {
    use super::*;

    fn judge(text: &str) -> Result<String, u16> {
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let policy = Policy::new(&config::Control::default(), address);
        let peer = IpAddr::from([127, 0, 0, 1]);
        check_head(text.as_bytes(), &policy, peer).map(|h| h.clean).map_err(|r| r.status)
    }

    #[test]
    fn a_plain_request_is_rewritten() {
        let forged = "X-Evil: a\r\nX-Tickpath-Peer: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\n";
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{forged}Authorization: Bearer t\r\n\r\n"
        );
        assert_eq!(
            judge(&request).unwrap(),
            "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer t\r\n\
             X-Tickpath-Peer: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        assert!(judge("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok());
    }

    #[test]
    fn requests_that_smuggle_or_exhaust_are_refused() {
        let cases = [
            ("Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n", 501),
            ("Content-Length: 0\r\nContent-Length: 40\r\n", 400),
            ("Content-Length: +40\r\n", 400),
            ("Content-Length: 40x\r\n", 400),
            ("Content-Length: 18446744073709551615\r\n", 413),
            ("Content-Length: 99999999999999999999999\r\n", 413),
        ];
        for (headers, status) in cases {
            let text = format!("POST / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
            assert_eq!(judge(&text), Err(status), "{headers:?}");
        }
        assert_eq!(judge("GET / HTTP/1.1\r\n\r\n"), Err(400));
        assert_eq!(judge("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"), Err(400));
        assert_eq!(judge("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), Err(400));
        assert_eq!(judge("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"), Err(505));
        assert_eq!(judge("BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n"), Err(405));
        assert_eq!(judge("GET http://x/ HTTP/1.1\r\nHost: localhost\r\n\r\n"), Err(400));
    }

    #[test]
    fn a_body_is_json_and_a_token_is_plain_text() {
        let post = |headers: &str| {
            judge(&format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n{headers}\r\n"))
        };
        assert_eq!(post(""), Err(415));
        assert_eq!(post("Content-Type: application/x-www-form-urlencoded\r\n"), Err(415));
        assert_eq!(post("Content-Type: text/plain\r\n"), Err(415));
        assert!(post("Content-Type: application/json; charset=utf-8\r\n").is_ok());
        let get = |headers: &str| judge(&format!("GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"));
        assert_eq!(get("Authorization: Bearer \u{e9}\r\n"), Err(400));
        assert_eq!(get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), Err(400));
    }

    #[test]
    fn behind_a_proxy_its_last_word_is_the_clients_address() {
        let policy = |behind_proxy| {
            let config = config::Control { behind_proxy, ..config::Control::default() };
            Policy::new(&config, "127.0.0.1:8080".parse().unwrap())
        };
        let peer = IpAddr::from([127, 0, 0, 1]);
        let said: [&[u8]; 1] = [b"6.6.6.6, 7.7.7.7"];
        assert_eq!(policy(true).client(peer, &said), IpAddr::from([7, 7, 7, 7]));
        assert_eq!(policy(true).client(peer, &[b"7.7.7.7:4711"]), IpAddr::from([7, 7, 7, 7]));
        assert_eq!(policy(true).client(peer, &[b"nonsense"]), peer);
        let another = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(policy(true).client(another, &said), another, "no proxy of ours");
        assert_eq!(policy(false).client(peer, &said), peer, "anybody may say anything");
    }

    #[test]
    fn interfaces_that_others_reach_need_a_proxy_and_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let missing = |bind: &str, behind_proxy, open_reads| {
            let config = config::Control { behind_proxy, open_reads, ..config::Control::default() };
            unprotected(&config, bind.parse().unwrap(), &data)
        };
        assert_eq!(missing("127.0.0.1:1", false, true), None);
        assert!(missing("0.0.0.0:1", false, false).unwrap().contains("proxy"));
        assert!(missing("127.0.0.1:1", true, true).unwrap().contains("open_reads"));
        assert!(missing("0.0.0.0:1", true, false).unwrap().contains("token"));
        let new = crate::auth::NewToken { name: "a", role: crate::auth::Role::Viewer, expires_unix_s: None };
        TokenFile::new(&data).create(&new, 1).unwrap();
        assert_eq!(missing("0.0.0.0:1", true, false), None);
    }

    #[test]
    fn foreign_pages_change_nothing() {
        let post =
            |origin: &str| judge(&format!("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\r\n"));
        assert_eq!(post("http://evil.example"), Err(403));
        assert_eq!(post("null"), Err(403));
        assert!(post("http://localhost:8080").is_ok());
    }
}
