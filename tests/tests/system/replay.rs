//! Replay: sessions with a thousand orders come out the same, and tampering is named.

use crate::{PROGRAM, demo::demo};
use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    process::Command,
};
use tickpath_hotpath::wire::simd::Isa;
use tickpath_shared::{
    Nanos, crc,
    journal::{ArchiveReader, ArchiveWriter, RecordBuf, list_sessions},
    paths::DataDir,
    record::{FrameMeta, IntentRecord, Kind, OrderRecord, RecordHeader},
};
use tickpath_tests::{recorded_pair, skipped};
use tickpath_tools::offline::{
    journal::{self, Filter},
    replay::{self, ReplayPlan},
};
use zerocopy::IntoBytes;

/// Overrides under which the recorded pair gives more than a thousand orders.
const EAGER: [(&str, &str); 11] = [
    ("TICKPATH__RISK__ORDER_RATE_MAX", "100000"),
    ("TICKPATH__RISK__MESSAGE_RATE_MAX", "250000"),
    ("TICKPATH__PAIRS__WINDOW", "10"),
    ("TICKPATH__PAIRS__SAMPLE_MS", "10"),
    ("TICKPATH__PAIRS__ENTRY_Z", "0.5"),
    ("TICKPATH__PAIRS__EXIT_Z", "0.4"),
    ("TICKPATH__PAIRS__LEG_TIMEOUT_MS", "10"),
    ("TICKPATH__PAIRS__REST_MS", "0"),
    ("TICKPATH__PAIRS__DRIFT", "0.01"),
    ("TICKPATH__PAIRS__VOLATILITY_POWER", "0"),
    ("TICKPATH__PAIRS__CHANGE_PROBABILITY", "1"),
];

fn session(dir: &Path, extra: &[&str]) -> Option<()> {
    let files = recorded_pair()?.map(|p| p.display().to_string());
    let arguments = [&["--capture", files[0].as_str(), files[1].as_str()], extra].concat();
    demo(dir, &arguments, &EAGER);
    Some(())
}

fn open(dir: &Path) -> DataDir {
    DataDir::open(dir).unwrap()
}

fn assert_replays(dir: &Path, orders_min: u64) -> replay::ReplayReport {
    let report = replay::replay(&open(dir), &ReplayPlan::default()).unwrap();
    println!("{}", serde_json::to_string(&report).unwrap());
    assert!(report.is_identical(), "{:?} {:?}", report.first_difference, report.first_state_difference);
    assert_eq!(report.orders_recorded, report.orders_replayed);
    assert!(report.digests > 0);
    assert!(report.orders_replayed >= orders_min, "{} orders, {orders_min} needed", report.orders_replayed);
    report
}

#[test]
fn sessions_replay_fused_and_on_three_threads() {
    for extra in [&["--speed", "20"][..], &["--speed", "20", "--threads", "3"]] {
        let dir = tempfile::tempdir().unwrap();
        if session(dir.path(), extra).is_none() {
            return;
        }
        let whole = assert_replays(dir.path(), 1000);
        assert_replays_from_checkpoints(dir.path(), &whole);
    }
}

/// As fast as the machine is: how much is answered before the data ends is not ours to say, so it takes as many
/// sessions as give three hundred orders.
#[test]
fn sessions_at_full_pace_replay() {
    let mut orders = 0;
    for _ in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        if session(dir.path(), &["--speed", "max"]).is_none() {
            return;
        }
        let whole = assert_replays(dir.path(), 50);
        assert_replays_from_checkpoints(dir.path(), &whole);
        orders += whole.orders_replayed;
        if orders >= 300 {
            return;
        }
    }
    panic!("{orders} orders in six sessions");
}

/// A replay from any checkpoint makes the rest of the orders and passes through the same states.
fn assert_replays_from_checkpoints(dir: &Path, whole: &replay::ReplayReport) {
    let data = open(dir);
    let writing = ReplayPlan { checkpoint_every_ns: Some(100_000_000), ..ReplayPlan::default() };
    let written = replay::replay(&data, &writing).unwrap();
    assert!(written.is_identical() && written.checkpoints >= 3, "{written:?}");
    let early = ReplayPlan { from_ns: Some(0), ..ReplayPlan::default() };
    let refusal = replay::replay(&data, &early).unwrap_err().to_string();
    assert!(refusal.contains("no checkpoint at or before 0.000 s"), "{refusal}");
    let replayed = |from_ns| {
        let plan = ReplayPlan { from_ns: Some(from_ns), ..ReplayPlan::default() };
        replay::replay(&data, &plan).unwrap()
    };
    let mut starts = Vec::new();
    let last_ns = replayed(Nanos::MAX).from_ns;
    for from_ns in (4..=12).map(|part| last_ns / 12 * part).chain([Nanos::MAX]) {
        let part = replayed(from_ns);
        assert!(part.is_identical(), "{:?} {:?}", part.first_difference, part.first_state_difference);
        assert!(whole.orders.ends_with(&part.orders) && part.engine_events < whole.engine_events);
        starts.push(part.from_ns);
    }
    println!("{} checkpoints, replayed from {starts:?} ns", written.checkpoints);
    assert!(starts.first() < starts.last());
}

/// All models of the strategy decide, and whatever vectors compute them, the orders are the same to the last byte.
#[test]
fn the_same_orders_with_any_vectors_ten_times() {
    let Some(pair) = recorded_pair() else { return };
    let files = pair.map(|p| p.display().to_string());
    let dir = tempfile::tempdir().unwrap();
    let environment = [
        ("TICKPATH__RISK__ORDER_RATE_MAX", "100000"),
        ("TICKPATH__RISK__MESSAGE_RATE_MAX", "250000"),
        ("TICKPATH__PAIRS__WINDOW", "20"),
        ("TICKPATH__PAIRS__SAMPLE_MS", "20"),
        ("TICKPATH__PAIRS__ENTRY_Z", "1.0"),
        ("TICKPATH__PAIRS__EXIT_Z", "0.5"),
        ("TICKPATH__PAIRS__REST_MS", "0"),
    ];
    demo(dir.path(), &["--capture", &files[0], &files[1], "--speed", "20"], &environment);
    let mut hashes = BTreeMap::new();
    let sets = Isa::available();
    if sets.len() < 3 {
        let _: Option<()> = skipped("a processor with AVX2 and AVX-512");
    }
    for isa in sets.iter().map(|isa| isa.name()) {
        for run in 0..10 {
            let orders = dir.path().join(format!("orders-{isa}-{run}"));
            let out = Command::new(PROGRAM)
                .args(["replay", "--dir", &dir.path().display().to_string()])
                .args(["--orders", &orders.display().to_string()])
                .env("TICKPATH_SIMD", isa)
                .output()
                .unwrap();
            assert!(out.status.success(), "{isa}: {}", String::from_utf8_lossy(&out.stderr));
            let text = std::fs::read(&orders).unwrap();
            assert!(text.iter().filter(|b| **b == b'\n').count() > 100, "too few orders to compare");
            hashes.entry(crc::append(0, &text)).or_insert_with(Vec::new).push(format!("{isa} {run}"));
        }
    }
    println!("{hashes:?}");
    assert_eq!(hashes.len(), 1, "one hash for all of them: {hashes:?}");
}

#[test]
fn a_session_in_original_pace_replays() {
    let dir = tempfile::tempdir().unwrap();
    if session(dir.path(), &["--speed", "1", "--duration", "20"]).is_some() {
        assert_replays(dir.path(), 20);
    }
}

/// Rewrites the archive of a lane record by record; checksums and chain are made anew, so that only replay
/// can tell.
fn rewrite(dir: &Path, lane: &str, mut change: impl FnMut(&mut RecordHeader, &mut Vec<u8>)) {
    rewrite_if(dir, lane, |header, payload| {
        change(header, payload);
        true
    });
}

/// Keeps the first records of a lane.
fn rewrite_while(dir: &Path, lane: &str, is_kept: impl Fn(&RecordHeader) -> bool) {
    rewrite_if(dir, lane, |header, _| is_kept(header));
}

fn rewrite_if(dir: &Path, lane: &str, mut change: impl FnMut(&mut RecordHeader, &mut Vec<u8>) -> bool) {
    let path = lane_file(dir, lane);
    let mut reader = ArchiveReader::open(&path).unwrap();
    let next = path.with_extension("next");
    let (mut writer, _) =
        ArchiveWriter::open(&next, reader.session(), reader.lane(), reader.metadata()).unwrap();
    let mut buf = RecordBuf::default();
    while reader.next_into(&mut buf).unwrap().is_some() {
        let (mut header, mut payload) = (buf.record().header, buf.record().payload.to_vec());
        if !change(&mut header, &mut payload) {
            break;
        }
        header.length = (size_of::<RecordHeader>() + payload.len()) as u32;
        header.crc32c = header.checksum(&payload);
        if writer.push(&RecordBuf::from_bytes([header.as_bytes(), &payload].concat())) {
            writer.write_block(reader.position()).unwrap();
        }
    }
    writer.write_block(reader.position()).unwrap();
    writer.sync().unwrap();
    std::fs::rename(next, path).unwrap();
}

fn lane_file(dir: &Path, lane: &str) -> PathBuf {
    let paths = |dir: &Path| Vec::from_iter(std::fs::read_dir(dir).unwrap().flatten().map(|e| e.path()));
    let sessions = paths(&dir.join("archive"));
    let [session] = &sessions[..] else { panic!("one session expected: {sessions:?}") };
    let files = paths(session);
    let found = files.iter().find(|p| p.to_string_lossy().contains(lane));
    found.unwrap_or_else(|| panic!("{lane} is none of {files:?}")).clone()
}

/// Sequences of ticker frames on which an order of their own instrument was made. One that the book was ahead
/// of already decided nothing.
fn decisive_frames(dir: &Path) -> Vec<u64> {
    let filter =
        |lane: &str, kind: &str| Filter { lane: Some(lane.into()), kind: Some(kind.into()), session: None };
    let mut sent = HashSet::new();
    journal::cat(&open(dir), &filter("gateway", "order"), |record| {
        sent.insert(record.body::<OrderRecord>().unwrap().intent);
    })
    .unwrap();
    let mut intents = Vec::new();
    journal::cat(&open(dir), &filter("engine", "intent"), |record| {
        let intent: IntentRecord = record.body().unwrap();
        if sent.contains(&intent.number) {
            intents.push((record.cause().number(), ["BTCUSDT", "ETHUSDT"][intent.instrument as usize]));
        }
    })
    .unwrap();
    let mut found = Vec::new();
    journal::cat(&open(dir), &filter("feed", "frame"), |record| {
        let text = String::from_utf8_lossy(record.text_after::<FrameMeta>());
        let is_decisive = intents.iter().any(|(cause, symbol)| {
            *cause == record.header.sequence && text.contains(symbol) && text.contains("bookTicker")
        });
        if is_decisive {
            found.push(record.header.sequence);
        }
    })
    .unwrap();
    found
}

#[test]
fn tampering_is_named() {
    let dir = tempfile::tempdir().unwrap();
    if session(dir.path(), &["--speed", "max"]).is_none() {
        return;
    }
    let orders = assert_replays(dir.path(), 100).orders;

    // A digit of the price that an order was made from, checksums made anew: the order is named.
    let targets = decisive_frames(dir.path());
    let target = targets[0];
    let difference = targets.iter().take(10).find_map(|target| {
        let copy = copy_of(dir.path());
        rewrite(copy.path(), "feed", |header, payload| {
            if header.sequence == *target {
                change_prices(payload);
            }
        });
        replay::replay(&open(copy.path()), &ReplayPlan::default()).unwrap().first_difference
    });
    let difference = difference.unwrap();
    println!("{difference}");
    assert!(difference.starts_with("order ") && difference.contains("tp001-"), "{difference}");

    // The same with the old checksum: the record is named.
    let copy = copy_of(dir.path());
    let path = lane_file(copy.path(), "feed");
    corrupt_record(&path, target);
    let error = replay::replay(&open(copy.path()), &ReplayPlan::default()).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains(&format!("record {target}")) && text.contains("checksum"), "{text}");

    // Decisions removed from the journal: replay makes them again.
    let copy = copy_of(dir.path());
    let is_decision = |kind: u16| [Kind::Intent, Kind::Order, Kind::Cancel].iter().any(|k| *k as u16 == kind);
    for lane in ["engine", "gateway"] {
        rewrite(copy.path(), lane, |header, payload| {
            if is_decision(header.kind) {
                header.kind = Kind::OrderWritten as u16;
                payload.clear();
            }
        });
    }
    let report = replay::replay(&open(copy.path()), &ReplayPlan::default()).unwrap();
    assert_eq!((report.orders_recorded, &report.orders), (0, &orders));
}

/// A process that was killed between an order and the copy of its frame: everything else is replayed and compared,
/// and what cannot be is told. A session that ended in order has no such excuse.
#[test]
fn a_frame_lost_in_a_kill_is_told() {
    let dir = tempfile::tempdir().unwrap();
    if session(dir.path(), &["--speed", "max"]).is_none() {
        return;
    }
    let lost = decisive_frames(dir.path())[20];
    let (intent, order) = decided_on(dir.path(), lost);
    let cut = |copy: &Path| {
        rewrite_while(copy, "feed", |header| header.sequence < lost);
        rewrite_while(copy, "engine", |header| header.sequence <= intent);
        rewrite_while(copy, "gateway", |header| header.sequence <= order);
    };
    let copy = copy_of(dir.path());
    cut(copy.path());
    let error = replay::replay(&open(copy.path()), &ReplayPlan::default()).unwrap_err();
    assert!(format!("{error:#}").contains(&format!("feed lane has no record {lost}")), "{error:#}");
    rewrite(copy.path(), "session", |header, payload| {
        if header.kind == Kind::SessionEvent as u16 && payload.ends_with(b"stopped in order") {
            payload.truncate(8);
        }
    });
    let report = replay::replay(&open(copy.path()), &ReplayPlan::default()).unwrap();
    assert_eq!((report.lost_frame, report.orders_on_lost_frame), (Some(lost), 1), "{report:?}");
    assert!(report.is_identical() && report.orders_replayed + 1 == report.orders_recorded, "{report:?}");
}

/// Sequences of the intent that a frame led to and of its order.
fn decided_on(dir: &Path, frame: u64) -> (u64, u64) {
    let filter =
        |lane: &str, kind: &str| Filter { lane: Some(lane.into()), kind: Some(kind.into()), session: None };
    let mut intent = None;
    journal::cat(&open(dir), &filter("engine", "intent"), |record| {
        if record.cause().number() == frame && record.cause().lane() == 1 {
            let number = record.body::<IntentRecord>().unwrap().number;
            intent.get_or_insert((record.header.sequence, number));
        }
    })
    .unwrap();
    let (intent, number) = intent.unwrap();
    let mut order = None;
    journal::cat(&open(dir), &filter("gateway", "order"), |record| {
        if record.body::<OrderRecord>().unwrap().intent == number {
            order.get_or_insert(record.header.sequence);
        }
    })
    .unwrap();
    (intent, order.unwrap())
}

/// Changes the fourth digit of both prices of a ticker frame.
fn change_prices(payload: &mut [u8]) {
    let text = String::from_utf8_lossy(&payload[size_of::<FrameMeta>()..]).into_owned();
    for key in ["\"b\":\"", "\"a\":\""] {
        let at = size_of::<FrameMeta>() + text.find(key).unwrap() + key.len() + 3;
        assert!(payload[at].is_ascii_digit(), "{text}");
        payload[at] = if payload[at] == b'9' { b'8' } else { payload[at] + 1 };
    }
}

/// Changes a byte of a record and keeps its checksum, while block hashes are made anew.
fn corrupt_record(path: &Path, sequence: u64) {
    let mut reader = ArchiveReader::open(path).unwrap();
    let next = path.with_extension("next");
    let (mut writer, _) =
        ArchiveWriter::open(&next, reader.session(), reader.lane(), reader.metadata()).unwrap();
    let mut buf = RecordBuf::default();
    while reader.next_into(&mut buf).unwrap().is_some() {
        let mut bytes = buf.as_bytes().to_vec();
        if buf.record().header.sequence == sequence {
            let last = bytes.len() - 5;
            bytes[last] ^= 1;
        }
        if writer.push(&RecordBuf::from_bytes(bytes)) {
            writer.write_block(reader.position()).unwrap();
        }
    }
    writer.write_block(reader.position()).unwrap();
    writer.sync().unwrap();
    std::fs::rename(next, path).unwrap();
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let status = Command::new("cp")
        .args(["-r", &format!("{}/.", dir.display()), &copy.path().display().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
    copy
}

#[test]
fn the_command_line_tells_by_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    if session(dir.path(), &["--speed", "max"]).is_none() {
        return;
    }
    let text = dir.path().display().to_string();
    let run = |arguments: &[&str]| Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(run(&["replay", "--dir", &text]).status.success());
    assert!(run(&["journal", "verify", "--dir", &text]).status.success());
    let cat = run(&["journal", "cat", "--json", "--kind", "order", "--dir", &text]);
    let first: serde_json::Value =
        serde_json::from_str(String::from_utf8_lossy(&cat.stdout).lines().next().unwrap()).unwrap();
    assert_eq!(first["kind"], "order");
    assert!(first["text"].as_str().unwrap().contains("order.place"), "{first}");
    corrupt_record(&lane_file(dir.path(), "feed"), 100);
    let verify = run(&["journal", "verify", "--dir", &text]);
    assert!(!verify.status.success());
    assert!(String::from_utf8_lossy(&verify.stdout).contains("record 100: checksum is wrong"));
}

/// Sessions of earlier builds: every later build must read and verify them, and make the decisions again if its
/// strategies are still the same.
#[test]
fn golden_sessions_verify_and_those_of_these_strategies_replay() {
    let golden = tickpath_tests::root().join("tests/golden");
    let copy = copy_of(&golden);
    let stats = journal::stat(&open(copy.path())).unwrap();
    assert!(stats.len() >= 4 && stats.iter().all(|s| s.error.is_none()), "{stats:?}");
    let (mut replayed, mut read) = (0, 0);
    for session in list_sessions(&open(copy.path())).unwrap() {
        let mut orders = 0;
        let filter = Filter { session: Some(session), lane: None, kind: Some("order".into()) };
        journal::cat(&open(copy.path()), &filter, |record| {
            orders += u64::from(record.body::<OrderRecord>().unwrap().qty > 0);
        })
        .unwrap();
        assert!(orders >= 4, "session {session}: {orders} orders");
        read += 1;
        let plan = ReplayPlan { session: Some(session), ..ReplayPlan::default() };
        match replay::replay(&open(copy.path()), &plan) {
            Ok(report) => {
                assert!(report.is_identical() && report.orders_replayed == orders, "{report:?}");
                assert!(report.digests > 0, "{report:?}");
                replayed += 1;
            }
            Err(e) => assert!(e.to_string().contains("strategies of version 1"), "{e}"),
        }
    }
    println!("{read} golden sessions read, {replayed} replayed");
    assert!(replayed > 0 && read > replayed);
}
