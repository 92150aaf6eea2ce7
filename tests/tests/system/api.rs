//! The HTTP interface of a running desk.

use crate::PROGRAM;
use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, interval_log},
};
use std::{io::Read, net::TcpStream, time::Duration};
use tickpath_shared::counters::{Counter, Stage};
use tickpath_tests::{
    desk::{Desk, wait_for},
    http::{get, raw},
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

/// Connections that say nothing: those beyond the bound are told so, and whoever asks afterwards is served.
#[test]
fn connections_beyond_the_bound_are_refused_with_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--seed", "72"]).unwrap();
    desk.start().unwrap();
    wait_for("the interface", || get(desk.control, "/health/live").is_ok_and(|(status, _)| status == 200))
        .unwrap();
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(desk.control).unwrap()).collect();
    let refused = silent
        .iter()
        .filter(|stream| {
            let mut start = [0; 12];
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            matches!((&mut &**stream).read(&mut start), Ok(12)) && &start == b"HTTP/1.1 503"
        })
        .count();
    println!("{refused} of 100 refused");
    assert!((36..=40).contains(&refused), "{refused}: 64 are served");
    drop(silent);
    wait_for("an answer", || get(desk.control, "/health/live").is_ok_and(|(status, _)| status == 200))
        .unwrap();
    assert_eq!(desk.stop().unwrap(), 0);
}
