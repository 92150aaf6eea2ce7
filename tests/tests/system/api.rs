//! The HTTP interface of a running desk.

use crate::PROGRAM;
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, interval_log},
};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};
use tickpath_shared::counters::{Counter, Stage};
use tickpath_tests::{
    desk::{Desk, status_line, wait_for},
    http::{get, raw},
    volume,
};

/// Prometheus text, line by line: names, labels and values must be what the format allows, every sample must
/// belong to a family declared before it.
fn parse_prometheus(text: &str) -> Vec<(String, f64)> {
    let mut family = String::new();
    let mut samples = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            family = name.to_owned();
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        let bare = name.split('{').next().unwrap();
        let is_name = bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        assert!(is_name && !bare.starts_with(|c: char| c.is_ascii_digit()), "{line}");
        assert!(bare.starts_with(&family), "{line} under {family}");
        if let Some(labels) = name.strip_prefix(bare).filter(|l| !l.is_empty()) {
            assert!(labels.starts_with('{') && labels.ends_with("\"}") && labels.contains("=\""), "{line}");
        }
        samples.push((name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}"))));
    }
    samples
}

/// One thread runs all stages, so nothing hops from one to another; one line has nobody to be ahead of.
fn is_idle(stage: Stage) -> bool {
    stage == Stage::Hop || stage.label().starts_with("lead_")
}

#[test]
fn metrics_latency_and_health_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let stamps = [("TICKPATH__HOST__RECEIVE_STAMPS", "true")];
    let mut desk = Desk::new(dir.path(), PROGRAM, &[&Desk::busy()[..], &stamps].concat()).unwrap();
    desk.start_venue(&["--speed", "4"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Fills, 5).unwrap();
    wait_for("readiness", || get(desk.control, "/health/ready").is_ok_and(|(status, _)| status == 200))
        .unwrap();

    let (status, text) = get(desk.control, "/metrics").unwrap();
    assert_eq!(status, 200);
    let samples = parse_prometheus(&text);
    let value = |name: &str| samples.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
    assert!(value("tickpath_fills_total").unwrap() >= 5.0);
    for stage in Stage::ALL {
        let name = format!("tickpath_stage_seconds_count{{stage=\"{stage}\"}}");
        let count = value(&name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(count > 0.0, !is_idle(*stage), "{name}");
    }

    let (status, log) = get(desk.control, "/api/v1/latency.hlog").unwrap();
    assert_eq!(status, 200);
    let mut tags = Vec::new();
    let mut deserializer = Deserializer::new();
    for entry in interval_log::IntervalLogIterator::new(log.as_bytes()) {
        if let interval_log::LogEntry::Interval(interval) = entry.unwrap() {
            let bytes = base64_decode(interval.encoded_histogram());
            let histogram: Histogram<u64> = deserializer.deserialize(&mut bytes.as_slice()).unwrap();
            let tag = interval.tag().unwrap().as_str();
            let stage = Stage::ALL.iter().find(|stage| stage.label() == tag);
            assert_eq!(Some(histogram.is_empty()), stage.map(|stage| is_idle(*stage)), "{tag}");
            tags.push(tag.to_owned());
        }
    }
    assert_eq!(tags, Stage::ALL.iter().map(|s| s.label().to_owned()).collect::<Vec<_>>());

    for path in ["/health/live", "/health/state", "/api/v1/status/info", "/api/v1/latency"] {
        let (status, body) = get(desk.control, path).unwrap();
        assert_eq!(status, 200, "{path}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"));
    }
    assert_eq!(get(desk.control, "/nowhere").unwrap().0, 404);
    gate_refuses(&desk);
    assert_eq!(get(desk.control, "/health/live").unwrap().0, 200, "alive after hostile requests");
    desk.stop().unwrap();
}

pub(crate) fn base64_decode(text: &str) -> Vec<u8> {
    let mut bits = 0_u32;
    let mut count = 0;
    let mut out = Vec::new();
    for byte in text.bytes().filter(|b| *b != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// Requests that tiny_http alone would smuggle, choke on or wait for.
fn gate_refuses(desk: &Desk) {
    let host = desk.control;
    let smuggled = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    let cases = [
        (
            format!(
                "POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\n{smuggled}"
            ),
            "501",
        ),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n{smuggled}"
            ),
            "400",
        ),
        (format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: +40\r\n\r\n{smuggled}"), "400"),
        (format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 18446744073709551615\r\n\r\n"), "413"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n", "a".repeat(20_000)), "431"),
    ];
    for (request, status) in cases {
        let answer = raw(desk.control, request.as_bytes()).unwrap_or_default();
        // A server that closes with bytes unread may reset the connection before its answer is read.
        if !answer.is_empty() {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:.60}: {answer:.80}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "one answer: {answer}");
        }
    }
    let idle: Vec<_> = (0..40).filter_map(|_| TcpStream::connect(desk.control).ok()).collect();
    std::thread::sleep(Duration::from_millis(50));
    drop(idle);
}

/// Connections that say nothing, or little: the oldest make room and are told so, and whoever asks is served at once.
#[test]
fn who_says_little_keeps_nobody_from_being_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--seed", "72"]).unwrap();
    desk.start().unwrap();
    wait_for("the interface", || get(desk.control, "/health/live").is_ok_and(|(status, _)| status == 200))
        .unwrap();
    let control = desk.child("control").unwrap();
    let before = memory_kib(control);
    let (mut slow, mut refused, mut latencies) = (VecDeque::new(), 0_u32, Vec::new());
    let connections = volume("TICKPATH_SLOW", 3_000) as usize;
    for round in 0..connections {
        let mut stream = TcpStream::connect(desk.control).unwrap();
        stream.write_all(b"GET /health/live HTTP/1.1\r\nX: ").unwrap();
        slow.push_back(stream);
        // As many as a process may have open; each says a byte now and then.
        if slow.len() > 600 {
            refused += u32::from(is_refused(&slow.pop_front().unwrap()));
        }
        if let Some(stream) = slow.get_mut(round % 600) {
            let _ = stream.write_all(b"a");
        }
        // Readers of this host share 200 requests a second.
        std::thread::sleep(Duration::from_millis(1));
        if round % 10 == 0 {
            let start = Instant::now();
            assert_eq!(get(desk.control, "/health/live").unwrap().0, 200);
            latencies.push(start.elapsed());
        }
    }
    latencies.sort_unstable();
    let (grown, threads) = (memory_kib(control).saturating_sub(before), threads(control));
    let at = |share: usize| latencies[latencies.len() * share / 100];
    println!(
        "{connections} slow connections, {refused} told that it is busy; {} honest requests p50 {:?}, p99 {:?}, max {:?}; \
         {grown} KiB more, {threads} threads",
        latencies.len(),
        at(50),
        at(99),
        latencies[latencies.len() - 1]
    );
    assert!(refused > connections as u32 / 4, "{refused}");
    assert!(grown < 32 << 10 && threads <= 32, "{grown} KiB, {threads} threads");
    drop(slow);
    assert_eq!(desk.stop().unwrap(), 0);
}

fn is_refused(stream: &TcpStream) -> bool {
    let mut start = [0; 12];
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    matches!((&mut &*stream).read(&mut start), Ok(12)) && &start == b"HTTP/1.1 503"
}

fn memory_kib(pid: u32) -> u64 {
    status_line(pid, "VmRSS:")
}

fn threads(pid: u32) -> u64 {
    status_line(pid, "Threads:")
}

/// A reader of server-sent events.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(address: SocketAddr, after: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = format!("GET /api/v1/stream HTTP/1.1\r\nHost: {address}\r\n{after}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        Self(BufReader::new(stream))
    }

    /// Fields of the next event of a name.
    fn next(&mut self, wanted: &str) -> Option<(String, serde_json::Value)> {
        let (mut id, mut name, mut data) = (String::new(), String::new(), String::new());
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", value)) => value.clone_into(&mut id),
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("data", value)) => value.clone_into(&mut data),
                _ if line == "\n" && name == wanted => {
                    return Some((id, serde_json::from_str(&data).unwrap()));
                }
                _ if line == "\n" => name.clear(),
                _ => {}
            }
        }
    }
}

/// Fifty readers of events and a hundred requests a second while it trades; a reader that comes back misses no fill, and
/// those beyond the bound are told so.
#[test]
fn events_are_streamed_and_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--seed", "73"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Fills, 3).unwrap();
    let mut first = Events::open(desk.control, "");
    let (id, _) = first.next("fill").unwrap();
    drop(first);
    let seen: i64 = id.split('.').next().unwrap().parse().unwrap();
    let mut others: Vec<Events> = (0..50).map(|_| Events::open(desk.control, "")).collect();
    let orders = desk.counter(Counter::OrdersSent);
    let mut latencies = Vec::new();
    for number in 0..500_u64 {
        let path =
            ["/health/state", "/api/v1/fills", "/api/v1/latency", "/api/v1/positions"][number as usize % 4];
        let start = Instant::now();
        assert_eq!(get(desk.control, path).unwrap().0, 200);
        latencies.push(start.elapsed());
        std::thread::sleep(Duration::from_millis(10).saturating_sub(start.elapsed()));
    }
    latencies.sort_unstable();
    println!(
        "500 requests beside 50 readers: p50 {:?}, p99 {:?}, max {:?}",
        latencies[250], latencies[495], latencies[499]
    );
    assert!(desk.counter(Counter::OrdersSent) > orders, "it trades on");
    // Whoever comes back hears every fill behind the last one, each once, and the state beside them.
    let mut again = Events::open(desk.control, &format!("Last-Event-ID: {id}\r\n"));
    let stored = desk.counter(Counter::Fills) as i64;
    let mut last = seen;
    while last < stored.max(seen + 3) {
        let (_, fill) = again.next("fill").unwrap();
        assert_eq!(fill["id"].as_i64(), Some(last + 1), "{fill}");
        last += 1;
    }
    // One that asks for everything hears it from the first row on, and those who keep up hear what is new meanwhile.
    let mut all = Events::open(desk.control, "Last-Event-ID: 0.0\r\n");
    for row in 1..=last {
        let (_, fill) = all.next("fill").unwrap();
        assert_eq!(fill["id"].as_i64(), Some(row), "{fill}");
    }
    let (_, newest) = others[0].next("fill").unwrap();
    assert!(newest["id"].as_i64() > Some(seen), "{newest}");
    let (_, state) = again.next("state").unwrap();
    assert!(state["instruments"].as_array().is_some_and(|all| all.len() == 2), "{state}");
    let mut further: Vec<Events> = (0..20).map(|_| Events::open(desk.control, "")).collect();
    let told = further.iter_mut().filter_map(|events| events.next("state")).count();
    assert!((10..=12).contains(&told), "{told} of 20 let in beside 52");
    drop((others, further, all));
    wait_for("the readers' end to be seen", || {
        get(desk.control, "/metrics").is_ok_and(|(_, text)| text.contains("\ntickpath_event_streams 1\n"))
    })
    .unwrap();
    assert_eq!(desk.stop().unwrap(), 0);
}
