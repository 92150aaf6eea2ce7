//! The gate: accepts TCP itself, reads requests under limits and a deadline (`front`), demands the shape that
//! tiny_http cannot be trusted to judge (`head`), and hands each, clean and with `Connection: close`, to tiny_http
//! on a Unix socket in a private directory. Who may do what is not decided here.

mod front;
mod head;

use super::{Shared, history, routes, stream::Streams};
use crate::auth::TokenFile;
use front::Front;
use head::{Policy, Purpose, Reason};
use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use thiserror::Error;
use tickpath_shared::{
    config,
    paths::{DataDir, replace_file},
};

const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Time a client has for its whole request.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);
/// Requests that are answered at once.
const ANSWERED_MAX: usize = 64;
/// Those of one address that is not this host's.
const PEER_MAX: usize = 16;
/// Threads that hand requests on and write answers.
const WORKERS: usize = BACKENDS;
const WORKERS_URGENT: usize = 2;
/// Threads that answer; kill has its own, so that it waits for no other request.
const BACKENDS: usize = 4;
const BACKENDS_URGENT: usize = 2;
/// Longest wait for an answer: verbs wait seconds for the hot process.
const BACKEND_DEADLINE: Duration = Duration::from_secs(30);
/// Time that a client has to read its answer, and the longest answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 64 << 20;

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
        // A proxy would hand requests with their tokens to whoever has the port.
        let tries = if config.behind_proxy { 0 } else { config.port_tries };
        let listener = listen(address, tries).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let sockets = ["http.sock", "http-urgent.sock"].map(|name| shared.data.run().join(name));
        for (socket, threads) in sockets.iter().zip([BACKENDS, BACKENDS_URGENT]) {
            start_backend(socket, threads, &shared).map_err(bind)?;
        }
        replace_file(&shared.data.run().join("http.address"), address.to_string().as_bytes())
            .map_err(bind)?;
        let (streams, streaming) = Streams::start(Arc::clone(&shared), Arc::clone(&stop));
        // Each has bounds of its own: no number of ordinary requests keeps an urgent one out.
        let queues = [WORKERS, WORKERS_URGENT].into_iter().zip(&sockets).map(|(workers, socket)| {
            let (open, (sender, receiver)) = (Arc::new(Open::default()), sync_channel(ANSWERED_MAX));
            start_workers(workers, receiver, socket, &open, &streams);
            Queue { sender, open }
        });
        let front = Front::new(listener, Policy::new(config, address), queues.collect()).map_err(bind)?;
        let flag = Arc::clone(&stop);
        let front = std::thread::spawn(move || front.run(&flag));
        let threads = vec![front, streaming, history::start(shared, Arc::clone(&stop))];
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

/// A listener on the port, or on one of those behind it when it is taken.
fn listen(address: SocketAddr, tries: u16) -> io::Result<TcpListener> {
    let mut taken = None;
    for further in 0..=if address.port() == 0 { 0 } else { tries } {
        let Some(port) = address.port().checked_add(further) else { break };
        match TcpListener::bind(SocketAddr::new(address.ip(), port)) {
            Ok(listener) => {
                if further > 0 {
                    tracing::warn!(wanted = %address, port, "the port is taken; another one is used");
                }
                return Ok(listener);
            }
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => taken = taken.or(Some(e)),
            Err(e) => return Err(e),
        }
    }
    Err(taken.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// Requests that are answered, and by peer.
#[derive(Default)]
struct Open {
    all: AtomicUsize,
    peers: Mutex<std::collections::HashMap<IpAddr, usize>>,
}

impl Open {
    fn enter(&self, peer: IpAddr) -> bool {
        let Ok(mut peers) = self.peers.lock() else { return false };
        if self.all.load(Ordering::Relaxed) >= ANSWERED_MAX {
            return false;
        }
        let count = peers.entry(peer).or_default();
        if *count >= PEER_MAX.max(ANSWERED_MAX * usize::from(peer.is_loopback())) {
            return false;
        }
        *count += 1;
        self.all.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn leave(&self, peer: IpAddr) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        if let Ok(mut peers) = self.peers.lock()
            && let Some(count) = peers.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                peers.remove(&peer);
            }
        }
    }
}

/// Where whole requests wait, and how many there are.
struct Queue {
    sender: SyncSender<Job>,
    open: Arc<Open>,
}

/// A whole request.
struct Job {
    stream: TcpStream,
    /// Whose it is.
    client: IpAddr,
    clean: Vec<u8>,
    /// A page of a listed host that may read the answer.
    page: Option<String>,
    purpose: Purpose,
}

fn start_workers(
    count: usize,
    receiver: Receiver<Job>,
    socket: &Path,
    open: &Arc<Open>,
    streams: &Arc<Streams>,
) {
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..count {
        let worker = Worker {
            receiver: Arc::clone(&receiver),
            socket: socket.to_owned(),
            open: Arc::clone(open),
            streams: Arc::clone(streams),
        };
        std::thread::spawn(move || worker.run());
    }
}

struct Worker {
    receiver: Arc<Mutex<Receiver<Job>>>,
    socket: PathBuf,
    open: Arc<Open>,
    streams: Arc<Streams>,
}

impl Worker {
    fn run(&self) {
        loop {
            let next = self.receiver.lock().ok().and_then(|receiver| receiver.recv().ok());
            let Some(job) = next else { return };
            let client = job.client;
            self.serve(job);
            self.open.leave(client);
        }
    }

    fn serve(&self, mut job: Job) {
        let Ok(mut answer) = ask(&self.socket, &job.clean) else {
            return refuse(&mut job.stream, Reason::UNAVAILABLE);
        };
        let headers = job.page.map_or_else(String::new, |page| cors(&page));
        if let Purpose::Stream(after) = &job.purpose
            && answer.starts_with(b"HTTP/1.1 200")
        {
            if let Err(mut stream) = self.streams.join(job.stream, job.client, after.as_deref(), &headers) {
                refuse(&mut stream, Reason::UNAVAILABLE);
            }
            return;
        }
        if let Some(end) = answer.windows(2).position(|pair| pair == b"\r\n").filter(|_| !headers.is_empty())
        {
            answer.splice(end + 2..end + 2, headers.bytes());
        }
        // A client that leaves in the middle, or reads too slowly, only costs this copy.
        self.streams.answer(job.stream, answer, Instant::now() + ANSWER_DEADLINE);
    }
}

/// Headers that let a page of a listed host read an answer.
fn cors(page: &str) -> String {
    format!("Access-Control-Allow-Origin: {page}\r\nVary: Origin\r\n")
}

/// What a browser is told that asks first.
fn preflight(page: &str) -> String {
    format!(
        "HTTP/1.1 204 No Content\r\n{}Access-Control-Allow-Methods: GET, POST\r\n\
         Access-Control-Allow-Headers: Authorization, Content-Type, Last-Event-ID\r\n\
         Access-Control-Max-Age: 600\r\nConnection: close\r\n\r\n",
        cors(page)
    )
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_taken_port_leads_to_the_next_ones_and_no_further() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = holder.local_addr().unwrap();
        let next = listen(taken, 50).unwrap().local_addr().unwrap();
        assert!(next.port() > taken.port() && next.port() <= taken.port() + 50);
        assert_eq!(listen(taken, 0).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
