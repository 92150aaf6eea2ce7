//! Requests that are none, over real sockets: each is answered once or not at all, and nothing comes of it.

use crate::PROGRAM;
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tickpath_shared::{counters::Counter, types::TradingState};
use tickpath_tests::{
    desk::{Desk, status_line, wait_for},
    http::get,
    random::Random,
    volume,
};

const THREADS: u64 = 8;

/// What a client could have meant, and what it should not have.
const REQUESTS: [&str; 7] = [
    "GET /health/state HTTP/1.1\r\nHost: HOST\r\nAccept: */*\r\n\r\n",
    "GET /api/v1/orders?limit=5&symbol=BTCUSDT&open=true HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer x\r\n\r\n",
    "POST /api/v1/control/disarm HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"reason\":\"x\"}",
    "POST /api/v1/control/kill HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: 2\r\nAuthorization: Bearer tp_AAAA\r\n\r\n{}",
    "POST /api/v1/webhook/tradingview HTTP/1.1\r\nHost: HOST\r\nContent-Length: 40\r\n\r\n{\"secret\":\"x\",\"time\":\"now\",\"action\":\"buy\"}",
    "OPTIONS /api/v1/control/arm HTTP/1.1\r\nHost: HOST\r\nOrigin: http://HOST\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: HOST\r\nUpgrade: websocket\r\nConnection: Upgrade, keep-alive\r\n\r\n",
];
const INSERTS: [&str; 16] = [
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding : identity\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 40\r\n",
    "Content-Length: 0x10\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Host: evil.example\r\n",
    " folded: line\r\n",
    "X-Tickpath-Peer: 9.9.9.9\r\n",
    "Expect: 100-continue\r\n",
    "\r\n",
    "\n",
    "\0",
    "\u{ff}\u{fe}",
    "GET /health/live HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

fn mutated(random: &mut Random, host: &str) -> Vec<u8> {
    let of = |random: &mut Random, texts: &[&str]| {
        texts[random.below(texts.len() as u64) as usize].replace("HOST", host).into_bytes()
    };
    let mut bytes = of(random, &REQUESTS);
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(6) {
            0 => {
                let line = bytes[..at].windows(2).rposition(|pair| pair == b"\r\n").map_or(0, |end| end + 2);
                bytes.splice(line..line, of(random, &INSERTS));
            }
            1 => {
                bytes.splice(at..at, of(random, &INSERTS));
            }
            2 => bytes.truncate(at),
            3 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            4 => {
                let part = bytes[at..(at + 40).min(bytes.len())].repeat(1 + random.below(600) as usize);
                bytes.splice(at..at, part);
            }
            _ => bytes.extend(of(random, &REQUESTS)),
        }
    }
    bytes
}

/// The whole answer; `None` where the connection ended without one.
fn answer(address: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    // Whoever is refused early finds the connection closed.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut bytes = Vec::new();
    // A reset in place of an end comes of what was not read.
    let result = stream.read_to_end(&mut bytes);
    if let Err(e) = &result {
        assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "no answer and no end");
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// Status of an answer that is one and whole.
fn check(request: &[u8], answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer);
    let what = || format!("{:?}\n{text}", String::from_utf8_lossy(request));
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{}", what()));
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status: u16 = status.unwrap_or_else(|| panic!("{}", what()));
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    if let Some(length) = length.filter(|_| !request.trim_ascii_start().starts_with(b"HEAD")) {
        assert_eq!(length.parse(), Ok(body.len()), "{}", what());
    }
    let is_answer =
        |(at, line): (usize, &str)| body[at + line.len()..].starts_with(|digit: char| digit.is_ascii_digit());
    assert!(!body.match_indices("HTTP/1.1 ").any(is_answer), "two answers: {}", what());
    status
}

#[test]
fn requests_that_are_none_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--seed", "75"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 1).unwrap();
    wait_for("the interface", || get(desk.control, "/health/live").is_ok_and(|(status, _)| status == 200))
        .unwrap();
    let control = desk.child("control").unwrap();
    let before = status_line(control, "VmRSS:");
    let each = volume("TICKPATH_REQUESTS", 20_000) / THREADS;
    let counts: Vec<AtomicU64> = (0..6).map(|_| AtomicU64::default()).collect();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (counts, address) = (&counts, desk.control);
            scope.spawn(move || {
                let (mut random, host) = (Random::new(thread), address.to_string());
                for _ in 0..each {
                    let request = mutated(&mut random, &host);
                    let status = answer(address, &request).map_or(0, |answer| check(&request, &answer));
                    counts[usize::from(status / 100)].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let [none, _, good, _, wrong, failed] = std::array::from_fn(|at| counts[at].load(Ordering::Relaxed));
    let grown = status_line(control, "VmRSS:").saturating_sub(before);
    let threads = status_line(control, "Threads:");
    println!(
        "{} requests: {good} of 2xx, {wrong} of 4xx, {failed} of 5xx, {none} without an answer; {grown} KiB more, \
         {threads} threads",
        each * THREADS
    );
    assert!(good > each * THREADS / 64 && wrong > each * THREADS / 2 && grown < 32 << 10 && threads <= 32);
    assert_eq!(desk.child("control"), Some(control), "the same process");
    assert_eq!(desk.status().unwrap().trading_state(), TradingState::Armed);
    assert!(!desk.data.kill_latch().exists());
    wait_for("an answer", || get(desk.control, "/health/live").is_ok_and(|(status, _)| status == 200))
        .unwrap();
    assert_eq!(desk.stop().unwrap(), 0);
}
