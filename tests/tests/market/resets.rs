//! A peer that resets the connection at every byte: of the TLS handshake, of the upgrade, of records and frames. No
//! part of a message is taken for one, and the end is always noticed.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tickpath_hotpath::{
    session::connect::{Roots, connect},
    wire::ws::{Caps, Utf8},
};
use tickpath_shared::config::Host;
use tickpath_tests::recorded_pair;
use tickpath_tools::{
    capture::{CaptureReader, MarketSource},
    venue::{TlsFiles, generate_tls, server_config},
};

/// Captures, and frames of each.
const CAPTURES: usize = 10;
const FRAMES: usize = 4;
/// Handshakes differ in length by a few bytes: signatures do.
const HANDSHAKE_SLACK: usize = 8;
/// What a TLS record adds to its content: header, content type, tag.
const RECORD_BYTES: usize = 5 + 1 + 16;

/// A socket that lets so many bytes out and is reset then.
struct Cut {
    tcp: TcpStream,
    left: usize,
    sent: Arc<AtomicUsize>,
}

impl Read for Cut {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.tcp.read(out)
    }
}

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.left);
        if len == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let written = self.tcp.write(&bytes[..len])?;
        self.left -= written;
        self.sent.fetch_add(written, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        rustix::net::sockopt::set_socket_linger(&self.tcp, Some(Duration::ZERO)).unwrap();
    }
}

fn frame(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81];
    match text.len() {
        len @ 0..126 => bytes.push(len as u8),
        len => {
            bytes.push(126);
            bytes.extend((len as u16).to_be_bytes());
        }
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// The server's part: upgrade and frames.
fn speak(stream: &mut (impl Read + Write), texts: &[String]) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        let mut chunk = [0; 1024];
        let len = stream.read(&mut chunk)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend(&chunk[..len]);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes())?;
    for text in texts {
        stream.write_all(&frame(text))?;
        stream.flush()?;
    }
    Ok(())
}

/// What came of one connection.
#[derive(Debug, Default)]
struct Outcome {
    /// Bytes that the server had let out.
    sent: usize,
    /// Messages that the client took.
    taken: usize,
    /// The client noticed the end.
    is_over: bool,
}

struct Bench {
    listener: TcpListener,
    address: SocketAddr,
    tls: TlsFiles,
    roots: Roots,
}

impl Bench {
    fn new(dir: &std::path::Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tls = generate_tls(dir).unwrap();
        let roots = Roots::load(&tls.authority).unwrap();
        Self { address: listener.local_addr().unwrap(), listener, tls, roots }
    }

    /// Connects to a server that is reset after `left` bytes; every message taken must be the next one sent.
    fn run(&self, is_tls: bool, texts: &[String], left: usize) -> Outcome {
        let sent = Arc::new(AtomicUsize::new(0));
        let mut outcome = Outcome::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (tcp, _) = self.listener.accept().unwrap();
                tcp.set_nodelay(true).unwrap();
                let cut = Cut { tcp, left, sent: Arc::clone(&sent) };
                // Errors are what this is about.
                let _ = if is_tls {
                    let connection =
                        rustls::ServerConnection::new(server_config(&self.tls).unwrap()).unwrap();
                    speak(&mut rustls::StreamOwned::new(connection, cut), texts)
                } else {
                    let mut cut = cut;
                    speak(&mut cut, texts)
                };
            });
            self.receive(is_tls, texts, &mut outcome);
        });
        outcome.sent = sent.load(Ordering::Relaxed);
        outcome
    }

    fn receive(&self, is_tls: bool, texts: &[String], outcome: &mut Outcome) {
        let url = format!("{}://{}/ws", if is_tls { "wss" } else { "ws" }, self.address);
        let caps = Caps { frame_bytes: 65_536, message_bytes: 262_144, utf8: Utf8::Checked };
        let Ok(established) = connect(&url, &self.roots, caps, &Host::default(), None) else {
            outcome.is_over = true;
            return;
        };
        let mut connection = established.connection;
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            // First what came with the handshake, as the hot threads do it.
            loop {
                match connection.next_text() {
                    Ok(Some(text)) => {
                        assert_eq!(text.as_bytes(), texts[outcome.taken].as_bytes());
                        outcome.taken += 1;
                    }
                    Ok(None) => break,
                    Err(_) => {
                        outcome.is_over = true;
                        return;
                    }
                }
            }
            if connection.receive().is_err() {
                outcome.is_over = true;
                return;
            }
        }
    }
}

/// Short windows of recorded frames.
fn captures() -> Option<Vec<Vec<String>>> {
    let [btc, _] = recorded_pair()?;
    let mut reader = CaptureReader::open(&[btc]).unwrap();
    let mut texts = Vec::new();
    while texts.len() < CAPTURES * FRAMES {
        let line = reader.next_line().unwrap().unwrap();
        if !line.is_snapshot() && line.text.len() < 600 {
            texts.push(line.text);
        }
    }
    Some(texts.chunks(FRAMES).map(<[String]>::to_vec).collect())
}

/// Every offset of all captures over plain TCP; over TLS the handshake once and what follows it for all of them.
#[test]
fn a_reset_at_any_byte_is_noticed_and_no_part_of_a_message_is_taken() {
    let Some(captures) = captures() else { return };
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path());
    let (mut connections, mut taken) = (0, 0);
    for is_tls in [false, true] {
        for (number, texts) in captures.iter().enumerate() {
            let whole = bench.run(is_tls, texts, usize::MAX);
            assert_eq!((whole.taken, whole.is_over), (texts.len(), true), "{whole:?}");
            let sizes = texts.iter().map(|text| frame(text).len() + if is_tls { RECORD_BYTES } else { 0 });
            let begin = whole.sent - sizes.clone().sum::<usize>();
            let ends: Vec<usize> = sizes
                .scan(begin, |at, size| {
                    *at += size;
                    Some(*at)
                })
                .collect();
            let first = if is_tls && number > 0 { begin } else { 0 };
            for left in first..whole.sent {
                let outcome = bench.run(is_tls, texts, left);
                assert!(outcome.is_over, "reset after {left} of {} bytes: {outcome:?}", whole.sent);
                let slack = if is_tls { HANDSHAKE_SLACK } else { 0 };
                let complete = ends.iter().filter(|end| **end <= left + slack).count();
                assert!(outcome.taken <= complete, "{left}: {outcome:?}, {complete} complete");
                connections += 1;
                taken += outcome.taken;
            }
        }
    }
    println!("{connections} connections reset, {taken} whole messages taken before, no part of one");
}
