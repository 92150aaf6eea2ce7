//! The latency tool as a user runs it, in small: every tick gets its order, and the files can be read back.

use crate::PROGRAM;
use hdrhistogram::serialization::{
    Deserializer,
    interval_log::{IntervalLogIterator, LogEntry},
};
use std::process::Command;
use tickpath_hotpath::net::affinity::allowed_cores;
use tickpath_tests::skipped;

fn latency(arguments: &[&str]) -> (bool, String) {
    let out = Command::new(PROGRAM).arg("latency").args(arguments).output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

/// The numbers of the first line that starts with a name.
fn numbers(text: &str, name: &str) -> Vec<u64> {
    let line = text.lines().find(|line| line.trim_start().starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no line {name:?} in\n{text}"));
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn in_the_process_every_tick_is_answered_and_nothing_is_lost() {
    let (is_ok, text) = latency(&["--in-process", "--passes", "1"]);
    assert!(is_ok, "{text}");
    let ours = numbers(&text, "tickpath");
    // Those before the first diff that joins the snapshot have no order.
    assert!(ours[0] > 59_000, "{text}");
    assert!(ours[1..].is_sorted() && ours[1] > 0, "{text}");
    for stage in ["decide", "tick_to_decision", "risk", "encode", "write", "tick_to_trade"] {
        assert!(numbers(&text, stage)[0] > 59_000, "{stage}: {text}");
    }
    // A frame a read, all on one thread: only diffs are looked at in between.
    let [decoded, booked] = ["decode", "book"].map(|stage| numbers(&text, stage)[0]);
    assert!(decoded > 5_000 && booked == decoded + 1, "every diff, and the snapshot: {text}");
    assert!(text.contains("0 frames unaccounted, 0 journal records lost"), "{text}");
}

#[test]
fn over_loopback_a_curve_is_printed_and_saved() {
    if allowed_cores().len() < 2 {
        skipped::<()>("a second core for the generator");
        return;
    }
    for tls in [&[][..], &["--tls"]] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out").display().to_string();
        let sizes =
            ["--rounds", "2", "--gaps", "500", "--rates", "500,2000", "--duration", "0.2", "--wait", "yield"];
        let (is_ok, text) = latency(&[&sizes[..], &["--out", &out], tls].concat());
        assert!(is_ok, "{text}");
        assert_eq!(text.contains("TLS 1.3"), !tls.is_empty());
        assert!(text.contains("raw TCP, same sizes and sockets"), "{text}");
        // A host may be too slow for the lowest rate even: then, and only then, there are no outliers of a rate carried.
        let lowest = text.lines().find(|line| line.trim_start().starts_with("500 "));
        let is_carried = lowest.is_some_and(|line| !line.contains("saturated"));
        assert_eq!(text.contains("worst ticks"), is_carried, "{text}");
        check_files(&dir.path().join("out"));
    }
}

fn check_files(dir: &std::path::Path) {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let json: serde_json::Value = serde_json::from_str(&read("latency.json")).unwrap();
    let points = json["points"].as_array().unwrap();
    assert!(!points.is_empty());
    for point in points {
        assert!(point["latency"]["count"].as_u64().unwrap() > 0, "{point}");
        assert_eq!(point["unanswered"], 0, "{point}");
        let p50 = point["latency"]["p50_ns"].as_u64().unwrap();
        assert!(p50 > 0 && p50 <= point["latency"]["max_ns"].as_u64().unwrap());
        assert!(point["outliers"].as_array().unwrap().iter().all(|o| o["window"]["interrupts"].is_u64()));
        let rate = point["offered_per_second"].as_u64().unwrap();
        assert!(read(&format!("latency-{rate}.hgrm")).contains("#[Mean"));
    }
    assert_eq!(counts(read("latency.hlog").as_bytes()).len(), points.len());
    let svg = read("latency.svg");
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<polyline").count(), 5);
}

/// How many values each histogram of an interval log holds.
fn counts(log: &[u8]) -> Vec<u64> {
    let mut deserializer = Deserializer::new();
    let entries = IntervalLogIterator::new(log).filter_map(|entry| match entry.unwrap() {
        LogEntry::Interval(histogram) => Some(histogram.encoded_histogram().to_owned()),
        _ => None,
    });
    let decoded = entries.map(|text| {
        let bytes = crate::api::base64_decode(&text);
        let histogram: hdrhistogram::Histogram<u64> =
            deserializer.deserialize(&mut bytes.as_slice()).unwrap();
        histogram.len()
    });
    decoded.filter(|count| *count > 0).collect()
}

#[test]
fn a_control_process_that_is_away_costs_no_record() {
    for away in [&[][..], &["--kill"]] {
        let arguments = ["isolation", "--pairs", "2", "--window", "1", "--speed", "4", "--json"];
        let out = Command::new(PROGRAM).args(arguments).args(away).output().unwrap();
        let text = String::from_utf8_lossy(&[&out.stdout[..], &out.stderr].concat()).into_owned();
        assert!(out.status.success(), "{text}");
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&found["lost_records"], &found["pairs"]), (&0.into(), &2.into()), "{text}");
        assert!(found["archived_records"].as_u64() > found["ticks"].as_u64(), "{text}");
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    let (is_ok, text) = latency(&["--rates", "0"]);
    assert!(!is_ok && text.contains("--rates: 0 is outside 1..=5000000"), "{text}");
    let (is_ok, text) = latency(&["--cores", "0,4095"]);
    assert!(!is_ok && text.contains("4095 is outside the cores"), "{text}");
    let (is_ok, text) = latency(&["--in-process", "--capture", "/nonexistent"]);
    assert!(!is_ok && text.contains("nonexistent"), "{text}");
    let (is_ok, text) = latency(&["--in-process", "--baseline"]);
    assert!(!is_ok && text.contains("--features baseline"), "{text}");
}
