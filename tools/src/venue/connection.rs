//! One client of the simulator: an HTTP request that is answered, or a WebSocket once it is upgraded.

use super::{
    Channel,
    binance::{ClientRole, HttpAnswer},
};
use mio::net::TcpStream;
use rustls::{ServerConnection, StreamOwned};
use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};
use tungstenite::{
    Message, WebSocket,
    handshake::derive_accept_key,
    protocol::{Role, WebSocketConfig},
};

const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Messages that may wait for a client that is neither read nor written.
const HELD_MAX: usize = 100_000;
/// Bytes that may wait for a client before market data waits for it.
const OUT_BYTES_MAX: usize = 1 << 20;

/// Byte stream of a client.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, tls: Option<&Arc<rustls::ServerConfig>>) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        Ok(match tls {
            None => Self::Plain(tcp),
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                Self::Tls(Box::new(StreamOwned::new(connection, tcp)))
            }
        })
    }

    pub(super) fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &mut tls.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(out),
            Self::Tls(tls) => tls.read(out),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// A request as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query without the question mark, as sent.
    pub query: String,
    /// Body as sent.
    pub body: String,
    /// Value of `X-MBX-APIKEY`, empty when absent.
    pub api_key: String,
}

impl HttpRequest {
    /// A parameter of query or body, percent-decoded; the query wins.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').chain(self.body.split('&'));
        let value = pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
        Some(percent_decode(value))
    }
}

pub(super) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], escaped) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A query with its values as clients percent-encode them.
pub(super) fn encode_query(query: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~=&".contains(&b);
    query.bytes().map(|b| if is_plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

/// What a client wants after its bytes were read.
pub(super) enum Incoming {
    /// Nothing yet.
    Nothing,
    /// A request to answer.
    Http(HttpRequest),
    /// An upgrade to a WebSocket at this target (path and query).
    Upgrade(String),
    /// A text message.
    Text(String),
    /// The client is gone.
    Gone,
}

/// State of a client's protocol.
enum State {
    Head(Stream, Vec<u8>),
    WebSocket(Box<WebSocket<Stream>>),
    /// Only while the state changes.
    Empty,
}

/// A client.
pub(super) struct Client {
    state: State,
    /// Rest of an HTTP answer that did not fit the socket.
    unsent: Vec<u8>,
    /// Messages that wait while the connection is neither read nor written.
    held: Option<Vec<String>>,
    /// A ping is not answered yet: it may not have read everything that was sent before.
    is_pinged: bool,
    is_closing: bool,
    pub(super) role: ClientRole,
}

impl Client {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            state: State::Head(stream, Vec::new()),
            unsent: Vec::new(),
            held: None,
            is_pinged: false,
            is_closing: false,
            role: ClientRole::Http,
        }
    }

    /// Whose messages it gets.
    pub(super) fn channel(&self) -> Channel {
        match &self.role {
            ClientRole::Http => Channel::Rest,
            ClientRole::Streams { route, .. } => Channel::of_route(route),
            ClientRole::Account { .. } => Channel::Account,
            ClientRole::Api(_) => Channel::Orders,
        }
    }

    /// Neither reads nor writes, or does so again.
    pub(super) fn set_frozen(&mut self, is_frozen: bool) {
        if is_frozen {
            self.held.get_or_insert_default();
        } else if let Some(held) = self.held.take() {
            for text in &held {
                self.send(text);
            }
        }
    }

    /// It is neither read nor written.
    pub(super) fn is_frozen(&self) -> bool {
        self.held.is_some()
    }

    /// Says goodbye, if it can be said.
    pub(super) fn close(&mut self) {
        if let State::WebSocket(ws) = &mut self.state {
            // The peer may be gone already.
            let _ = ws.close(None).and_then(|()| ws.flush());
        }
    }

    /// Lets the connection end in a reset instead of an orderly close.
    pub(super) fn reset(&mut self) {
        if let Some(stream) = self.stream_mut() {
            // What cannot be reset is closed.
            let _ = rustix::net::sockopt::set_socket_linger(stream.tcp_mut(), Some(Duration::ZERO));
        }
    }

    pub(super) fn stream_mut(&mut self) -> Option<&mut Stream> {
        match &mut self.state {
            State::Head(stream, _) => Some(stream),
            State::WebSocket(ws) => Some(ws.get_mut()),
            State::Empty => None,
        }
    }

    /// Reads until something whole is there.
    pub(super) fn read(&mut self) -> Incoming {
        match &mut self.state {
            State::Head(stream, head) => match read_head(stream, head) {
                Ok(true) => parse_request(head),
                Ok(false) => Incoming::Nothing,
                Err(_) => Incoming::Gone,
            },
            State::WebSocket(ws) => match ws.read() {
                Ok(Message::Text(text)) => Incoming::Text(text.to_string()),
                Ok(Message::Close(_)) => Incoming::Gone,
                Ok(Message::Pong(_)) => {
                    self.is_pinged = false;
                    Incoming::Text(String::new())
                }
                // Pings are answered by the library; whatever else comes means nothing here.
                Ok(_) => Incoming::Text(String::new()),
                Err(tungstenite::Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => Incoming::Nothing,
                Err(e) => {
                    eprintln!("client dropped while reading: {e}");
                    Incoming::Gone
                }
            },
            State::Empty => Incoming::Gone,
        }
    }

    /// Asks for a word once everything before it is read.
    pub(super) fn ping(&mut self) {
        if let State::WebSocket(ws) = &mut self.state {
            // Of one that is gone the next read tells.
            self.is_pinged = ws.write(Message::Ping(Default::default())).is_ok();
        }
    }

    /// It has not answered the last ping, and could.
    pub(super) fn is_behind(&self) -> bool {
        self.is_pinged && !self.is_frozen()
    }

    /// Answers an HTTP request and closes.
    pub(super) fn respond(&mut self, answer: &HttpAnswer) {
        let headers: String =
            answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n",
            answer.status,
            answer.body.len()
        );
        self.unsent = [head.as_bytes(), answer.body.as_bytes()].concat();
        self.is_closing = true;
    }

    /// Completes the upgrade.
    pub(super) fn upgrade(&mut self, role: ClientRole) -> io::Result<()> {
        let State::Head(mut stream, head) = std::mem::replace(&mut self.state, State::Empty) else {
            return Err(io::Error::other("not in a handshake"));
        };
        let key = header_of(&head, "sec-websocket-key").ok_or_else(|| io::Error::other("no key"))?;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(key.as_bytes())
        );
        // The first bytes of a fresh connection always fit its buffer.
        stream.write_all(answer.as_bytes())?;
        stream.flush()?;
        let end = head_end(&head).unwrap_or(head.len());
        let config = WebSocketConfig::default()
            .read_buffer_size(8192)
            .write_buffer_size(64 * 1024)
            .max_write_buffer_size(16 * OUT_BYTES_MAX);
        let ws = WebSocket::from_partially_read(stream, head[end..].to_vec(), Role::Server, Some(config));
        self.state = State::WebSocket(Box::new(ws));
        self.role = role;
        Ok(())
    }

    /// Queues a text message; false when the client is gone.
    pub(super) fn send(&mut self, text: &str) -> bool {
        if let Some(held) = &mut self.held {
            // Nobody would have that much room either: the connection is beyond repair then.
            if held.len() < HELD_MAX {
                held.push(text.to_owned());
            }
            return held.len() < HELD_MAX;
        }
        let State::WebSocket(ws) = &mut self.state else { return false };
        match ws.write(Message::text(text)) {
            Ok(()) => true,
            Err(tungstenite::Error::Io(e)) => e.kind() == io::ErrorKind::WouldBlock,
            Err(_) => false,
        }
    }

    /// Pushes queued bytes to the socket. `Ok(true)` when all are gone, `Err` when the client is.
    pub(super) fn flush(&mut self) -> Result<bool, ()> {
        if let State::WebSocket(ws) = &mut self.state {
            return match ws.flush() {
                Ok(()) => Ok(true),
                Err(tungstenite::Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(e) => {
                    eprintln!("client dropped while sending: {e}");
                    Err(())
                }
            };
        }
        let State::Head(stream, _) = &mut self.state else { return Err(()) };
        while !self.unsent.is_empty() {
            match stream.write(&self.unsent) {
                Ok(0) => return Err(()),
                Ok(n) => {
                    self.unsent.drain(..n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(_) => return Err(()),
            }
        }
        if stream.flush().is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock) || self.is_closing {
            return Err(());
        }
        Ok(true)
    }
}

/// Reads up to the end of head and body.
fn read_head(stream: &mut Stream, head: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    loop {
        if is_complete(head) {
            return Ok(true);
        }
        if head.len() > HEAD_BYTES_MAX + BODY_BYTES_MAX {
            return Err(io::Error::other("request too large"));
        }
        match stream.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => head.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        }
    }
}

fn head_end(head: &[u8]) -> Option<usize> {
    head.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

fn is_complete(head: &[u8]) -> bool {
    let Some(end) = head_end(head) else { return false };
    let length = header_of(head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0_usize);
    head.len() >= end + length.min(BODY_BYTES_MAX)
}

fn header_of(head: &[u8], name: &str) -> Option<String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(head).ok()?;
    let header = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok().map(|v| v.trim().to_owned())
}

fn parse_request(head: &[u8]) -> Incoming {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(end)) = request.parse(head) else { return Incoming::Gone };
    let target = request.path.unwrap_or("/").to_owned();
    if header_of(head, "upgrade").is_some_and(|v| v.eq_ignore_ascii_case("websocket")) {
        return Incoming::Upgrade(target);
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Incoming::Http(HttpRequest {
        method: request.method.unwrap_or("GET").to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        body: String::from_utf8_lossy(&head[end..]).into_owned(),
        api_key: header_of(head, "x-mbx-apikey").unwrap_or_default(),
    })
}
