//! The account that an engine finds: settings it needs, and the venue's switch behind it.

use crate::{PROGRAM, kill::place_resting};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tickpath_tests::desk::{Desk, signal, wait_for};

/// Exit code and output of a hot process on a desk whose simulator has further arguments.
fn hot_on(arguments: &[&str], environment: &[(&str, String)]) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    let rights = format!("http://{}", desk.venue);
    desk.environment.push(("TICKPATH__VENUE__RIGHTS_URL".into(), rights));
    desk.start_venue(arguments).unwrap();
    let mut hot = desk.spawn("hot").unwrap();
    let code = hot.wait(Duration::from_secs(30)).unwrap();
    (code, std::fs::read_to_string(dir.path().join("hot.out")).unwrap())
}

#[test]
fn an_account_that_hedges_is_refused() {
    let (code, text) = hot_on(&["--hedge"], &[]);
    assert!(code != 0 && text.contains("hedge mode"), "{code} {text}");
}

#[test]
fn a_key_that_may_withdraw_is_refused() {
    let (code, text) = hot_on(&["--may-withdraw"], &[]);
    assert!(code != 0 && text.contains("the key may withdraw"), "{code} {text}");
}

#[test]
fn a_configured_leverage_is_set_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &[]).unwrap();
    let text = std::fs::read_to_string(desk.data.config()).unwrap();
    let text = text.replace("symbol = \"BTCUSDT\"", "symbol = \"BTCUSDT\"\nleverage = 7");
    std::fs::write(desk.data.config(), text).unwrap();
    desk.start_venue(&[]).unwrap();
    desk.start().unwrap();
    let rest = desk.rest().unwrap();
    let leverage = || rest.leverages(rest.server_time().unwrap()).unwrap();
    wait_for("the leverage", || leverage().contains(&("BTCUSDT".to_owned(), 7))).unwrap();
    assert!(leverage().contains(&("ETHUSDT".to_owned(), 20)), "left as it was");
    assert_eq!(desk.stop().unwrap(), 0);
}

#[test]
fn the_venue_cancels_what_a_dead_engine_left() {
    let dir = tempfile::tempdir().unwrap();
    let environment = [("TICKPATH__VENUE__COUNTDOWN_MS", "5000"), ("TICKPATH__PAIRS__IS_ENABLED", "false")];
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&[]).unwrap();
    // No supervisor: its own road would be faster.
    let hot = desk.spawn("hot").unwrap();
    wait_for("a reconciled session", || desk.status().is_ok_and(|s| s.is_reconciled())).unwrap();
    place_resting(&desk, "left-behind");
    let open = || desk.venue_truth().unwrap().open_orders.len();
    // Longer than the countdown: it is refreshed while the engine lives.
    let alive = Instant::now();
    while alive.elapsed() < Duration::from_secs(7) {
        assert_eq!(open(), 1);
        std::thread::sleep(Duration::from_millis(100));
    }
    signal(hot.pid(), Signal::KILL);
    let dead = Instant::now();
    wait_for("an empty book of orders", || open() == 0).unwrap();
    println!("canceled by the venue {:.1} s after the end of the engine", dead.elapsed().as_secs_f64());
    assert!(dead.elapsed() < Duration::from_secs(7));
}
