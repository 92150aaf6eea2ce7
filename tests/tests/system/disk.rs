//! A full disk below the data directory: trading is unharmed, people are told, and nothing is lost once there is room
//! again.

use crate::PROGRAM;
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use tickpath_control::store;
use tickpath_shared::counters::Counter;
use tickpath_tests::{
    desk::{Desk, wait_for},
    http::get,
    skipped, volume,
};

/// Where the small disk is, in the mount namespace of the test that runs inside.
const INSIDE: &str = "TICKPATH_SMALL_DISK";

/// Runs the test below in a mount namespace of its own, where the data directory is a small disk.
#[test]
fn a_full_disk_loses_nothing_and_stops_nobody() {
    if let Some(dir) = std::env::var_os(INSIDE) {
        return fill_and_free(Path::new(&dir));
    }
    if !Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success()) {
        return skipped::<()>("unshare -rm").unwrap_or_default();
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=64m tmpfs \"$0\" && exec \"$1\" --exact --nocapture \"$2\"";
    let test = "disk::a_full_disk_loses_nothing_and_stops_nobody";
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", script])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(INSIDE, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}

fn ready(desk: &Desk) -> (u16, String) {
    get(desk.control, "/health/ready").unwrap_or_default()
}

/// Takes all the room there is.
fn take_all(path: &Path) {
    let mut bytes = 64 << 20;
    while bytes >= 4096 {
        let mut all = std::fs::read(path).unwrap_or_default();
        all.resize(all.len() + bytes, 0);
        if std::fs::write(path, &all).is_err() {
            // What fits stays.
            bytes /= 2;
        }
    }
}

fn fill_and_free(dir: &Path) {
    let mut environment = Desk::busy();
    // Lanes that outlast a full disk, and as little else on it as there may be.
    environment.push(("TICKPATH__JOURNAL__DIR", "shm"));
    let mut desk = Desk::new(dir, PROGRAM, &environment).unwrap();
    desk.start_venue(&["--seed", "92"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Fills, 3).unwrap();
    wait_for("readiness", || ready(&desk).0 == 200).unwrap();
    let hot = desk.child("hot").unwrap();
    let ballast = dir.join("ballast");
    let mut told = Duration::ZERO;
    let times = volume("TICKPATH_FULL", 5);
    for _ in 0..times {
        take_all(&ballast);
        let full = Instant::now();
        let (fills, orders) = (desk.counter(Counter::Fills), desk.counter(Counter::OrdersSent));
        wait_for("an alert", || {
            get(desk.control, "/api/v1/alerts").is_ok_and(|(_, text)| text.contains("\"disk_low\""))
        })
        .unwrap();
        told = told.max(full.elapsed());
        wait_for("what is wrong", || {
            let (status, text) = ready(&desk);
            status == 503 && text.contains("archive cannot be written")
        })
        .unwrap();
        desk.wait_for_counter(Counter::OrdersSent, orders + 5).unwrap();
        desk.wait_for_counter(Counter::Fills, fills + 1).unwrap();
        std::fs::remove_file(&ballast).unwrap();
        wait_for("readiness", || ready(&desk).0 == 200).unwrap();
    }
    assert_eq!(desk.child("hot"), Some(hot), "it has traded on all the time");
    println!("{times} times full: told within {told:?}");
    assert!(told < Duration::from_secs(5));
    assert_eq!(desk.stop().unwrap(), 0);
    let (code, text) = desk.run_here(&["journal", "verify"]).unwrap();
    assert_eq!(code, 0, "{text}");
    let (code, text) = desk.run_here(&["rebuild"]).unwrap();
    assert!(code == 0 && text.contains("the store was what the archive folds to"), "{text}");
    let rows = store::row_counts(&desk.data.store("simulation")).unwrap();
    println!("{rows:?}");
    let stored = rows.iter().find(|(table, _)| table == "fills").unwrap().1;
    assert_eq!(stored, desk.venue_truth().unwrap().trades.len() as u64, "as the venue has it");
}
