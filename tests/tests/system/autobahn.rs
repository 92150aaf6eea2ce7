//! The Autobahn Testsuite judges the frame parser: its fuzzing server against an echo client that is nothing
//! but our framing over a socket.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tickpath_hotpath::wire::ws::{
    Caps, ClientFrame, FrameBuffer, HEADER_BYTES_MAX, Next, Utf8, encode_masked,
};
use tickpath_tests::{root, skipped};

/// Sections 1 to 7, 9 and 10; 8 does not exist, 12 and 13 are about compression, which no venue here offers.
const CASES: &str = r#"["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]"#;
const COUNT: usize = 301;
const CAP: usize = 16 << 20;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where wstest is, installed on first use.
fn wstest() -> Option<String> {
    let dir = root().join("target/autobahn");
    let output = Command::new(root().join("tests/autobahn/wstest.sh"))
        .arg(&dir)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    if output.status.success() {
        return Some(String::from_utf8(output.stdout).unwrap().trim().to_owned());
    }
    skipped(&format!("Autobahn Testsuite: {}", String::from_utf8_lossy(&output.stderr)))
}

fn start(wstest: &str, dir: &Path, port: u16) -> Server {
    let spec = dir.join("spec.json");
    let text = format!(
        r#"{{"url": "ws://127.0.0.1:{port}", "outdir": "{}", "cases": {CASES}, "exclude-cases": [], "exclude-agent-cases": {{}}}}"#,
        dir.display()
    );
    fs::write(&spec, text).unwrap();
    let child = Command::new(wstest)
        .args(["-m", "fuzzingserver", "-s", spec.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server(child);
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "wstest does not listen on {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

/// One connection: the upgrade, then frames by our parser.
struct Client {
    tcp: TcpStream,
    frames: FrameBuffer,
    out: Vec<u8>,
}

impl Client {
    fn connect(port: u16, target: &str) -> Self {
        let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let key = tungstenite::handshake::client::generate_key();
        write!(
            tcp,
            "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        .unwrap();
        let mut reader = BufReader::new(tcp.try_clone().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 101"), "{line}");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        let caps = Caps { frame_bytes: CAP, message_bytes: CAP, utf8: Utf8::Checked };
        let mut frames = FrameBuffer::new(caps);
        let early = reader.buffer().to_vec();
        frames.space()[..early.len()].copy_from_slice(&early);
        frames.filled(early.len());
        Self { tcp, frames, out: vec![0; CAP + HEADER_BYTES_MAX] }
    }

    fn send(&mut self, frame: ClientFrame, payload: &[u8]) {
        let len = encode_masked(frame, payload, [0x37, 0xfa, 0x21, 0x3d], &mut self.out).unwrap();
        let _ = self.tcp.write_all(&self.out[..len]);
    }

    /// Echoes until the connection is over; returns the first text.
    fn echo(mut self) -> String {
        let mut first = None;
        loop {
            match self.frames.next_range() {
                Ok(None) => match self.tcp.read(self.frames.space()) {
                    Ok(0) | Err(_) => return first.unwrap_or_default(),
                    Ok(bytes) => self.frames.filled(bytes),
                },
                Ok(Some(Next::Text(range))) => {
                    let text = self.frames.bytes(range).to_vec();
                    self.send(ClientFrame::Text, &text);
                    first.get_or_insert_with(|| String::from_utf8(text).unwrap());
                }
                Ok(Some(Next::Binary(range))) => {
                    let bytes = self.frames.bytes(range).to_vec();
                    self.send(ClientFrame::Binary, &bytes);
                }
                Ok(Some(Next::Ping(range))) => {
                    let payload = self.frames.bytes(range).to_vec();
                    self.send(ClientFrame::Pong, &payload);
                }
                Ok(Some(Next::Pong)) => {}
                Ok(Some(Next::Close(status))) => {
                    let echoed = if status == 1005 { Vec::new() } else { status.to_be_bytes().to_vec() };
                    self.send(ClientFrame::Close, &echoed);
                    return first.unwrap_or_default();
                }
                Err(error) => {
                    self.send(ClientFrame::Close, &error.close_code().to_be_bytes());
                    return first.unwrap_or_default();
                }
            }
        }
    }
}

#[test]
fn the_autobahn_testsuite_finds_nothing() {
    let Some(wstest) = wstest() else { return };
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let _server = start(&wstest, dir.path(), port);
    let count: usize = Client::connect(port, "/getCaseCount").echo().parse().unwrap();
    assert_eq!(count, COUNT);
    for case in 1..=count {
        Client::connect(port, &format!("/runCase?case={case}&agent=tickpath")).echo();
    }
    Client::connect(port, "/updateReports?agent=tickpath").echo();
    let index = fs::read_to_string(dir.path().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    let cases = index["tickpath"].as_object().unwrap();
    let verdicts = |key: &str| -> Vec<(&String, &str)> {
        cases.iter().map(|(name, case)| (name, case[key].as_str().unwrap())).collect()
    };
    let is_good = |verdict: &str| ["OK", "NON-STRICT", "INFORMATIONAL"].contains(&verdict);
    let failed: Vec<_> = verdicts("behavior")
        .into_iter()
        .chain(verdicts("behaviorClose"))
        .filter(|(_, verdict)| !is_good(verdict))
        .collect();
    let ok = verdicts("behavior").iter().filter(|(_, verdict)| *verdict == "OK").count();
    println!("{} cases: {ok} OK, {} failed", cases.len(), failed.len());
    assert_eq!((cases.len(), failed), (COUNT, Vec::new()));
}
