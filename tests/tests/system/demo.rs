//! The demo, as a new user starts it.

use crate::PROGRAM;
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, process::Command};
use tickpath_shared::paths::DataDir;
use tickpath_tests::recorded_pair;
use tickpath_tools::offline::journal::{self, Filter};

/// Runs the demo in a fresh directory; returns its JSON.
pub(crate) fn demo(dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let out = Command::new(PROGRAM)
        .args(["demo", "--json", "--dir", &dir.display().to_string()])
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let (text, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "demo {arguments:?}: {errors}{text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn the_synthetic_market_trades_without_keys_data_or_network() {
    let dir = tempfile::tempdir().unwrap();
    let found = demo(dir.path(), &["--duration", "25"], &[]);
    assert!(number(&found["orders"]) > 0 && number(&found["fills"]) > 0, "{found}");
    assert!(number(&found["rows"]["orders"]) > 0 && number(&found["rows"]["fills"]) > 0, "{found}");
    assert_eq!(number(&found["decode_errors"]), 0);
    assert_eq!(number(&found["counters"]["book_gaps"]), 0, "{found}");
}

/// The simulator of a second run numbers its trades behind those of the first: none is taken for known.
#[test]
fn a_second_run_in_a_directory_adds_its_fills_to_those_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let eager = [
        ("TICKPATH__PAIRS__WINDOW", "20"),
        ("TICKPATH__PAIRS__SAMPLE_MS", "50"),
        ("TICKPATH__PAIRS__ENTRY_Z", "1.5"),
    ];
    let mut fills = 0;
    for _ in 0..2 {
        let found = demo(dir.path(), &["--duration", "8", "--seed", "3"], &eager);
        assert!(number(&found["fills"]) > 0, "{found}");
        fills += number(&found["fills"]);
        assert_eq!(number(&found["rows"]["fills"]), fills, "{found}");
    }
}

/// What a venue gave is nowhere else.
#[test]
fn keys_and_configurations_of_others_are_not_overwritten() {
    for (name, text) in [("secrets/api_key", "of-a-venue"), ("config.toml", "[risk]\ncollar_bps = 80\n")] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        let out = Command::new(PROGRAM)
            .args(["demo", "--duration", "1", "--dir", &dir.path().display().to_string()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains("choose another"), "{name}: {said}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}

/// Every frame of the recorded pair is consumed, whatever the signature, transport and number of threads.
#[test]
fn the_recorded_pair_is_consumed_whole_at_full_speed() {
    let Some(pair) = recorded_pair() else { return };
    let files = pair.map(|p| p.display().to_string());
    for extra in [&[][..], &["--threads", "3"], &["--hmac"], &["--tls"]] {
        let dir = tempfile::tempdir().unwrap();
        let arguments = [&["--speed", "max", "--capture", &files[0], &files[1]], extra].concat();
        let found = demo(dir.path(), &arguments, &[]);
        let count = |name: &str| number(&found["counters"][name]);
        let marks = count("mark_frames");
        assert_eq!(count("frames") - marks, 168_607, "{extra:?}: {found}");
        assert_eq!((count("decode_errors"), count("ignored_frames"), count("fallback_frames")), (0, 0, 0));
        assert_eq!(
            count("depth_applied") + count("depth_before_snapshot"),
            6_551 + 6_586,
            "{extra:?}: {found}"
        );
        assert_eq!((count("snapshots"), count("book_gaps")), (2, 0), "{extra:?}: {found}");
        assert!(number(&found["fills"]) > 0, "{extra:?}: {found}");
        assert_eq!(number(&found["inputs_skipped"]), 0);
        assert_time_goes_on(dir.path());
        assert!(furthest_behind_ms(dir.path()) < 2_000, "{extra:?}");
    }
}

/// How far the venue's time of a frame is behind that of one that was read before it: no connection runs ahead.
fn furthest_behind_ms(dir: &Path) -> u64 {
    let filter = Filter { lane: Some("feed".into()), kind: Some("frame".into()), ..Filter::default() };
    let (mut latest, mut behind) = (0, 0);
    journal::cat(&DataDir::open(dir).unwrap(), &filter, |record| {
        let text = String::from_utf8_lossy(record.payload);
        let (_, rest) = text.split_once("\"E\":").unwrap();
        let told: u64 = rest.split([',', '}']).next().unwrap().parse().unwrap();
        (latest, behind) = (told.max(latest), behind.max(latest.saturating_sub(told)));
    })
    .unwrap();
    behind
}

/// In every lane of a hot thread no record is older than the one before, be its frame the first of a read or behind
/// one that led to an order.
fn assert_time_goes_on(dir: &Path) {
    let data = DataDir::open(dir).unwrap();
    for lane in ["feed", "engine", "gateway"] {
        let (mut before, mut records, mut older) = (0, 0_u64, BTreeMap::new());
        let filter = Filter { lane: Some(lane.into()), ..Filter::default() };
        journal::cat(&data, &filter, |record| {
            let header = record.header;
            if header.time < before {
                older.insert(header.sequence, (header.kind, before - header.time));
            }
            (before, records) = (header.time, records + 1);
        })
        .unwrap();
        assert!(records > 1_000, "{lane}: {records} records");
        assert!(older.is_empty(), "{lane}: {} of {records}: {:?}", older.len(), older.iter().next());
    }
}

#[test]
fn ctrl_c_stops_in_order_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("out");
    let run_dir = dir.path().join("run").display().to_string();
    let arguments = ["demo", "--dir", run_dir.as_str()];
    let mut demo = tickpath_tests::desk::Process::start(PROGRAM.as_ref(), &arguments, &[], &log).unwrap();
    let pid = demo.pid();
    let child = |name: &str| tickpath_tests::desk::child_of(pid, name);
    tickpath_tests::desk::wait_for("the processes", || {
        ["venue", "hot", "control"].iter().all(|n| child(n).is_some())
    })
    .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let children: Vec<u32> = ["venue", "hot", "control"].iter().filter_map(|n| child(n)).collect();
    let start = std::time::Instant::now();
    tickpath_tests::desk::signal(pid, rustix::process::Signal::INT);
    assert_eq!(demo.wait(std::time::Duration::from_secs(10)).unwrap(), 0);
    assert!(start.elapsed().as_secs() < 5, "took {:?}", start.elapsed());
    for pid in children {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} still runs");
    }
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("tick-to-trade"), "no summary: {text}");
}
