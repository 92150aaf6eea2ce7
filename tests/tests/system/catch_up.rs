//! A control process that was away finds a full journal, and catches up faster than it was filled, without growing.

use crate::PROGRAM;
use rusqlite::Connection;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tickpath_shared::{
    clock::{host_ns_now, unix_ns_now},
    command::CommandFile,
    counters::Counter,
    journal::{Lane, LaneSpec, LaneWriter},
    paths::CurrentSession,
    record::{Cause, Class, FrameMeta, Kind, OrderRecord},
    status::{Identity, Status},
    types::{ClientOrderId, InstanceId, Side, TimeInForce},
};
use tickpath_tests::{
    desk::{Desk, status_line, wait_for},
    http::get,
    volume,
};
use zerocopy::IntoBytes;

/// Records that a busy hot process writes in a second.
const RATE: u64 = 50_000;
/// One of so many is an order; the rest are frames of market data.
const ORDER_EVERY: u64 = 100;
const SESSION: u64 = 7;
const SEGMENT_BYTES: usize = 2 << 20;

/// Seconds for which nobody reads.
fn seconds() -> u64 {
    volume("TICKPATH_AWAY_S", 20)
}

fn lane(dir: &Path, lane: u16, name: &str, bytes: u64) -> LaneWriter {
    // Inputs are skipped before a pool is full.
    let segments = (bytes * 5 / 4 / SEGMENT_BYTES as u64 + 16) as usize;
    let spec = LaneSpec { session: SESSION, lane, name: name.into(), segment_bytes: SEGMENT_BYTES, segments };
    let metadata = format!("{{\"start_unix_ns\":{}}}", unix_ns_now());
    Lane::create(dir, spec, &metadata).unwrap()
}

/// A session as a hot process leaves it that nobody archived meanwhile. This process is its hot process.
fn fill(dir: &Path, desk: &Desk, records: u64) -> (Status, CommandFile, [LaneWriter; 2]) {
    let identity = Identity {
        session: SESSION,
        pid: std::process::id(),
        start_unix_ns: unix_ns_now(),
        start_host_ns: host_ns_now(),
        is_live: false,
        build: "test".into(),
    };
    let mut frame =
        br#"{"e":"bookTicker","s":"BTCUSDT","b":"61800.10","B":"1.200","a":"61800.20","A":"0.800","u":"#
            .to_vec();
    let frames_bytes = records * (frame.len() as u64 + 80);
    let mut feed = lane(dir, 1, "feed", frames_bytes);
    let mut gateway = lane(dir, 3, "gateway", records / ORDER_EVERY * 160);
    let definition = tickpath_tools::venue::definitions().remove(0);
    gateway.append(Kind::Definition, Class::Audit, 0, Cause::NONE, &[definition.as_bytes()]).unwrap();
    let instance = InstanceId::new("001").unwrap();
    for number in 1..records {
        let time = number * 1_000_000_000 / RATE;
        if number % ORDER_EVERY == 0 {
            let order = OrderRecord {
                client_order_id: ClientOrderId::new(instance, SESSION, number),
                intent: number,
                price: 618_000,
                qty: 8,
                instrument: 0,
                strategy: 1,
                side: Side::Buy as u8,
                time_in_force: TimeInForce::Ioc as u8,
                is_reduce_only: 0,
                order_type: 0,
                price_match: 0,
                reserved: [0; 5],
            };
            gateway.append(Kind::Order, Class::Audit, time, Cause::NONE, &[order.as_bytes()]).unwrap();
        } else {
            frame.truncate(93);
            frame.extend_from_slice(format!("{number}}}").as_bytes());
            let meta = FrameMeta { read_ns: time, connection: 0, reserved: [0; 3] };
            feed.append(Kind::Frame, Class::Input, time, Cause::NONE, &[meta.as_bytes(), &frame]).unwrap();
        }
    }
    let status = Status::create(&dir.join("status"), &identity).unwrap();
    status.add(Counter::Frames, records);
    let command = CommandFile::create(&dir.join("command"), SESSION, false).unwrap();
    desk.data.set_current_session(&CurrentSession { session: SESSION, shared_dir: dir.to_owned() }).unwrap();
    (status, command, [feed, gateway])
}

#[test]
fn what_was_missed_is_caught_up_with() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::new(dir.path(), PROGRAM, &[]).unwrap();
    let lanes = tempfile::Builder::new().prefix("tickpath-test-").tempdir_in("/dev/shm").unwrap();
    let shared_dir = lanes.path().join(SESSION.to_string());
    std::fs::create_dir(&shared_dir).unwrap();
    let records = seconds() * RATE;
    let session = fill(&shared_dir, &desk, records);
    let start = Instant::now();
    let mut control = desk.spawn("control").unwrap();
    let count = |name: &str| -> u64 {
        let text = get(desk.control, "/metrics").map(|(_, text)| text).unwrap_or_default();
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.trim().parse().ok());
        line.unwrap_or(0)
    };
    wait_for("the interface", || count("tickpath_sessions ") > 0).unwrap();
    let grown = std::cell::Cell::new([u64::MAX, 0]);
    let reach = |name: &'static str| {
        wait_for(name, || {
            let now = status_line(control.pid(), "RssAnon:");
            grown.set([grown.get()[0].min(now), grown.get()[1].max(now)]);
            std::thread::sleep(Duration::from_millis(50));
            count(name) >= records
        })
        .unwrap();
        start.elapsed().as_secs_f64()
    };
    let archived = reach("tickpath_archived_records_total ");
    let stored = reach("tickpath_stored_records_total ");
    let [least, most] = grown.get();
    let times = |elapsed: f64| seconds() as f64 / elapsed;
    println!(
        "{records} records of {} s: archived {:.1} times as fast as they came, stored {:.1} times; \
         private memory {least} to {most} KiB",
        seconds(),
        times(archived),
        times(stored)
    );
    assert!(most < 64 << 10, "{most} KiB: it reads in pieces");
    assert_eq!(control.terminate().unwrap(), 0);
    let store = Connection::open(desk.data.store("simulation")).unwrap();
    let orders: u64 =
        store.query_row("SELECT count(*) FROM orders", [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    assert_eq!(orders, (records - 1) / ORDER_EVERY, "every order, each once");
    drop(session);
}
