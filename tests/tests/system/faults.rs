//! A broken environment: each fault has its clear message and policy; nothing panics, nothing dies of SIGBUS.

use crate::{PROGRAM, by_hand::quiet_environment};
use serde_json::Value;
use std::time::Duration;
use tickpath_shared::{
    counters::Counter,
    journal::{AppendError, Lane, LaneSpec, Pressure},
    record::{Cause, Class, Kind},
    status::LaneWord,
    types::TradingState,
};
use tickpath_tests::{
    desk::{Desk, signal, wait_for},
    http,
};

fn output(desk: &Desk, name: &str) -> String {
    std::fs::read_to_string(desk.data.root().join(format!("{name}.out"))).unwrap_or_default()
}

/// The hot process on a desk must end with a code and say so.
fn hot_refuses(environment: &[(&str, &str)], code: i32, says: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, environment).unwrap();
    desk.start_venue(&[]).unwrap();
    let mut hot = desk.spawn("hot").unwrap();
    let found = hot.wait(Duration::from_secs(30)).unwrap();
    let text = output(&desk, "hot");
    assert_eq!(found, code, "{text}");
    for part in says {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn a_core_outside_the_set_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::new(dir.path(), PROGRAM, &[]).unwrap();
    let text = std::fs::read_to_string(desk.data.config()).unwrap();
    std::fs::write(desk.data.config(), text.replace("[[thread]]\n", "[[thread]]\ncore = 4000\n")).unwrap();
    let (code, text) = desk.run_here(&["hot"]).unwrap();
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("4000 is outside the cores this process may use"), "{text}");
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    hot_refuses(
        &[("TICKPATH__RISK__COLLAR_BSP", "5")],
        3,
        &["TICKPATH__RISK__COLLAR_BSP", "did you mean `collar_bps`?"],
    );
}

#[test]
fn a_lane_larger_than_its_memory_is_refused_before_the_first_store() {
    // More than any /dev/shm of a test machine.
    hot_refuses(
        &[("TICKPATH__JOURNAL__DIR", "shm"), ("TICKPATH__JOURNAL__FEED_MIB", "65536")],
        6,
        &["/dev/shm has", "the lanes need", "journal.*_mib"],
    );
}

/// A real small /dev/shm, in a mount namespace of its own: the default falls back with a warning, `shm`
/// refuses, and a file system that fills up at start is an error instead of a SIGBUS.
#[test]
fn a_small_dev_shm_degrades_or_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &[]).unwrap();
    desk.start_venue(&[]).unwrap();
    let run = |environment: &str| {
        let script = format!(
            "mount -t tmpfs -o size=64m tmpfs /dev/shm && {environment} timeout -s TERM 6 {PROGRAM} hot --dir {}",
            desk.data.root().display()
        );
        std::process::Command::new("unshare").args(["-rm", "sh", "-c", &script]).output().unwrap()
    };
    let probe = std::process::Command::new("unshare").args(["-rm", "true"]).status();
    if !probe.is_ok_and(|s| s.success()) {
        assert!(std::env::var_os("TICKPATH_NO_SKIP").is_none(), "unshare -rm is needed and refused");
        eprintln!("SKIPPED: unshare -rm is not allowed here");
        return;
    }
    let refused = run("TICKPATH__JOURNAL__DIR=shm");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(6), "{text}");
    assert!(text.contains("/dev/shm has 64 MiB free and the lanes need"), "{text}");
    let full = run("TICKPATH__JOURNAL__DIR=/dev/shm/lanes");
    let text = String::from_utf8_lossy(&full.stderr).into_owned();
    assert_eq!(full.status.code(), Some(6), "{text}");
    assert!(text.contains("file system has") && text.contains("journal.dir"), "{text}");
    run("TICKPATH__JOURNAL__LOCK=false");
    let (code, text) = desk.run_here(&["journal", "cat", "--kind", "session_event"]).unwrap();
    assert_eq!(code, 0);
    assert!(text.contains("write-back may stall"), "{text}");
}

#[test]
fn a_second_instance_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &[]).unwrap();
    desk.start_venue(&[]).unwrap();
    desk.start().unwrap();
    wait_for("both processes", || desk.child("hot").is_some() && desk.child("control").is_some()).unwrap();
    wait_for("the session", || desk.status().is_ok()).unwrap();
    for (command, code) in [("run", 1), ("hot", 6), ("control", 6)] {
        let (found, text) = desk.run_here(&[command]).unwrap();
        assert_eq!(found, code, "{command}: {text}");
        assert!(text.contains("another"), "{command}: {text}");
    }
    desk.stop().unwrap();
}

#[test]
fn a_port_in_use_stops_control_alone() {
    let dir = tempfile::tempdir().unwrap();
    let alone = ("TICKPATH__CONTROL__PORT_TRIES", "0");
    let mut desk = Desk::new(dir.path(), PROGRAM, &[&Desk::busy()[..], &[alone]].concat()).unwrap();
    let _taken = std::net::TcpListener::bind(desk.control).unwrap();
    desk.start_venue(&[]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 1).unwrap();
    let log = || std::fs::read_to_string(desk.data.root().join("logs/control.log")).unwrap_or_default();
    wait_for("the message", || log().contains("control.bind") && log().contains("Address already in use"))
        .unwrap();
    desk.stop().unwrap();
}

#[test]
fn a_missing_or_corrupt_capture_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::new(dir.path(), PROGRAM, &[]).unwrap();
    let (code, text) = desk.run_here(&["demo", "--json", "--capture", "/nowhere/x.gz"]).unwrap();
    assert_eq!(code, 6, "{text}");
    assert!(text.contains("capture /nowhere/x.gz"), "{text}");
    let corrupt = dir.path().join("corrupt.txt");
    std::fs::write(&corrupt, "1 {\"stream\":\"btcusdt@trade\",\"data\":{}}\n2 {\"stream\":\"btc\n").unwrap();
    let (code, text) = desk.run(&["book", "--capture", &corrupt.display().to_string()]).unwrap();
    assert_ne!(code, 0);
    assert!(text.contains("corrupt.txt line 2: frame is cut off"), "{text}");
}

/// With control stopped the lanes fill: telemetry is dropped, then no new risk is opened, then inputs are
/// skipped; when control goes on, trading goes on.
#[test]
fn watermarks_are_crossed_and_left_again_while_control_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut environment = Desk::busy();
    environment.extend([
        ("TICKPATH__JOURNAL__FEED_MIB", "16"),
        ("TICKPATH__JOURNAL__ENGINE_MIB", "16"),
        ("TICKPATH__JOURNAL__GATEWAY_MIB", "16"),
        ("TICKPATH__JOURNAL__SESSION_MIB", "16"),
    ]);
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&["--speed", "100"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 1).unwrap();
    let control = desk.child("control").unwrap();
    signal(control, rustix::process::Signal::STOP);
    let lane = |lane: u16, word| desk.status().map_or(0, |s| s.lane(lane, word));
    wait_for("inputs to be skipped", || lane(1, LaneWord::Skipped) > 0).unwrap();
    assert_eq!(lane(1, LaneWord::Free), 0, "of eight segments the last eighth is audit's");
    let refused = desk.counter(Counter::Refusals);
    std::thread::sleep(Duration::from_millis(300));
    assert!(desk.child("hot").is_some(), "the hot process lives on");
    signal(control, rustix::process::Signal::CONT);
    let before = desk.counter(Counter::OrdersSent);
    wait_for("orders after the jam", || desk.counter(Counter::OrdersSent) > before + 5).unwrap();
    println!("refused while jammed: {refused}");
    desk.stop().unwrap();
    let (code, text) = desk.run_here(&["journal", "verify"]).unwrap();
    assert_eq!(code, 0, "{text}");
}

/// A lane file cut or replaced under the running processes: trading halts or the process stops, with a
/// message; no wrong record is ever written.
#[test]
fn a_truncated_or_replaced_lane_file_fails_safely() {
    for is_truncated in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
        desk.start_venue(&[]).unwrap();
        desk.start().unwrap();
        desk.wait_for_counter(Counter::OrdersSent, 1).unwrap();
        let session = desk.status().unwrap().identity().session;
        let shared = desk.data.current_session().unwrap().unwrap().shared_dir;
        let lane = shared.join("lane-02-engine");
        if is_truncated {
            std::fs::OpenOptions::new().write(true).open(&lane).unwrap().set_len(4096).unwrap();
        } else {
            std::fs::remove_file(&lane).unwrap();
            std::fs::write(&lane, vec![0; 1 << 20]).unwrap();
        }
        let has_new_session = || desk.status().is_ok_and(|s| s.identity().session > session);
        let is_halted = || desk.status().is_ok_and(|s| s.trading_state() == TradingState::Halted);
        wait_for("halt or restart", || is_halted() || has_new_session()).unwrap();
        let logs = ["hot", "control"].map(|n| {
            std::fs::read_to_string(desk.data.root().join(format!("logs/{n}.log"))).unwrap_or_default()
        });
        assert_archiving_stays_refused(&desk);
        let all = logs.concat() + &output(&desk, "run");
        assert!(!all.contains("SIGBUS") && !all.contains("signal: 7") && !all.contains("panicked"), "{all}");
        desk.stop().unwrap();
        let (_, text) = desk.run_here(&["journal", "verify"]).unwrap();
        assert!(!text.contains("panicked"), "{text}");
        // The lane's rest was not archived: nothing of the session is called complete, or removed.
        let sealed = desk.data.archive().join(session.to_string()).join("sealed");
        assert!(shared.join("lane-02-engine").exists() && !sealed.exists());
    }
}

/// As long as a lane cannot be archived, not only at the turn that found it.
fn assert_archiving_stays_refused(desk: &Desk) {
    let is_failing = || {
        let Ok((_, text)) = http::get(desk.control, "/api/v1/status/health/detailed") else { return false };
        serde_json::from_str::<Value>(&text).is_ok_and(|health| health["archive_failing"] == true)
    };
    wait_for("a lane that cannot be archived", is_failing).unwrap();
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(50));
        assert!(is_failing());
    }
}

/// The reason to halt is found outside of the core, and what is open is canceled at once all the same, not only when an
/// answer is overdue.
#[test]
fn a_halt_for_a_replaced_lane_file_cancels_what_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut environment = quiet_environment();
    environment.push(("TICKPATH__VENUE__ANSWER_TIMEOUT_MS", "60000"));
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&[]).unwrap();
    desk.start().unwrap();
    let bid = || {
        let (_, text) = http::get(desk.control, "/api/v1/books").ok()?;
        let books: Value = serde_json::from_str(&text).ok()?;
        books["rows"][0]["bid"].as_str()?.parse::<f64>().ok()
    };
    let place = || {
        let price = format!("{:.1}", (bid().unwrap_or(0.0) * 0.998).floor());
        let order = ["order", "buy", "0.002", "BTCUSDT", "--price", &price, "--time-in-force", "gtx"];
        desk.run_here(&order).unwrap()
    };
    wait_for("an order that is let through", || place().0 == 0).unwrap();
    let open = || desk.venue_truth().unwrap().open_orders.len();
    wait_for("an open order", || open() == 1).unwrap();
    let lane = desk.data.current_session().unwrap().unwrap().shared_dir.join("lane-02-engine");
    std::fs::remove_file(&lane).unwrap();
    std::fs::write(&lane, vec![0; 1 << 20]).unwrap();
    wait_for("no open order", || open() == 0).unwrap();
    assert_eq!(desk.status().unwrap().trading_state(), TradingState::Halted);
    assert_eq!(desk.counter(Counter::OrdersUnknown), 0, "nothing had to be asked about");
    desk.stop().unwrap();
}

/// The policy of an exhausted pool, as a writer sees it.
#[test]
fn an_exhausted_lane_refuses_audit_too() {
    let dir = tempfile::tempdir().unwrap();
    let spec = LaneSpec { session: 1, lane: 0, name: "full".into(), segment_bytes: 4096, segments: 8 };
    let mut writer = Lane::create(dir.path(), spec, "").unwrap();
    let mut append = || writer.append(Kind::Timer, Class::Audit, 0, Cause::NONE, &[&[0; 1000]]);
    while append().is_ok() {}
    assert_eq!(append(), Err(AppendError::Exhausted));
    assert_eq!(writer.pressure(), Pressure::Exhausted);
}
