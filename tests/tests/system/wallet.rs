//! The wallet against the trades: over restarts nothing is told, and whatever else moved it is.

use crate::{
    PROGRAM,
    by_hand::quiet_environment,
    resting::{order, position},
};
use rustix::process::Signal;
use tickpath_shared::types::TradingState;
use tickpath_tests::{
    desk::{Desk, signal, wait_for},
    http,
};

/// What the newest session told about money.
fn told(desk: &Desk) -> Vec<String> {
    let (code, text) = desk.run_here(&["journal", "cat", "--json", "--kind", "session_event"]).unwrap();
    assert!(code == 0 && text.contains("account read: "), "{code} {text}");
    let is_it = |line: &&str| line.contains("than trades and funding explain");
    text.lines().filter(is_it).map(str::to_owned).collect()
}

#[test]
fn money_that_no_trade_moved_is_told_and_the_rest_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &quiet_environment()).unwrap();
    desk.start_venue(&["--seed", "62", "--balance", "50000"]).unwrap();
    desk.start().unwrap();
    let is_armed = |desk: &Desk| desk.status().is_ok_and(|s| s.trading_state() == TradingState::Armed);
    wait_for("an armed desk", || is_armed(&desk)).unwrap();
    order(&desk, &["buy", "0.010", "BTCUSDT"]);
    wait_for("a position", || position(&desk) > 0).unwrap();
    order(&desk, &["sell", "0.004", "BTCUSDT", "--reduce-only"]);
    wait_for("less of it", || position(&desk) == 60).unwrap();

    // A session that was killed knew of trades that it never compared with the wallet.
    let killed = desk.child("hot").unwrap();
    signal(killed, Signal::KILL);
    wait_for("another session", || {
        desk.child("hot").is_some_and(|pid| pid != killed) && is_armed(&desk) && position(&desk) > 0
    })
    .unwrap();
    assert_eq!(told(&desk), Vec::<String>::new());

    // While nothing runs somebody pays in, and something else takes a little.
    assert_eq!(desk.stop().unwrap(), 0);
    for body in [r#"{"amount":"100.5"}"#, r#"{"amount":"-0.25","kind":"INSURANCE_CLEAR"}"#] {
        assert_eq!(http::send(desk.venue, "POST", "/admin/wallet", body).unwrap().0, 200);
    }
    assert_eq!(http::send(desk.venue, "POST", "/admin/wallet", r#"{"amount":"much"}"#).unwrap().0, 400);
    desk.start().unwrap();
    wait_for("an alert", || {
        http::get(desk.control, "/api/v1/alerts").is_ok_and(|(_, text)| text.contains("\"money\""))
    })
    .unwrap();
    let (_, text) = http::get(desk.control, "/api/v1/alerts").unwrap();
    assert!(text.contains("USDT: 100.25000000 more in the wallet"), "{text}");

    // Told once, and what is known now is what is compared with.
    assert_eq!(desk.stop().unwrap(), 0);
    assert_eq!(told(&desk).len(), 1, "{:?}", told(&desk));
    desk.start().unwrap();
    wait_for("an armed desk", || is_armed(&desk)).unwrap();
    assert_eq!(desk.stop().unwrap(), 0);
    assert_eq!(told(&desk), Vec::<String>::new());
}
