//! The kill switch: no order after the look that follows it, latched over restarts, and the kill road of the
//! supervisor when the hot process hangs.

use crate::PROGRAM;
use std::time::{Duration, Instant};
use tickpath_hotpath::venue::{Secret, binance::sign::sorted_query};
use tickpath_shared::{
    clock::host_ns_now,
    counters::Counter,
    record::{KillRecord, Kind, OrderWrittenRecord},
    status::InstrumentWord,
    types::TradingState,
};
use tickpath_tests::{
    desk::{Desk, signal, wait_for},
    http,
};
use tickpath_tools::offline::journal::{self, Filter};

/// Places an order that rests far from the market, with an id of our choice, over the venue's own interface.
pub(crate) fn place_resting(desk: &Desk, id: &str) {
    let secrets = desk.data.root().join("secrets");
    let key = std::fs::read_to_string(secrets.join("api_key")).unwrap();
    let pem = std::fs::read_to_string(secrets.join("api_secret.pem")).unwrap();
    let now = tickpath_shared::clock::unix_ns_now() / 1_000_000;
    let mut parameters = vec![
        ("apiKey", key),
        ("newClientOrderId", id.to_owned()),
        ("price", "40000.00".to_owned()),
        ("quantity", "0.001".to_owned()),
        ("side", "BUY".to_owned()),
        ("symbol", "BTCUSDT".to_owned()),
        ("timeInForce", "GTC".to_owned()),
        ("timestamp", now.to_string()),
        ("type", "LIMIT".to_owned()),
    ];
    let query = sorted_query(parameters.iter().cloned());
    let signature = Secret::ed25519_pem(&pem).unwrap().sign_to_string(query.as_bytes());
    parameters.push(("signature", signature));
    let fields: Vec<String> = parameters
        .iter()
        .map(|(k, v)| if *k == "timestamp" { format!("\"{k}\":{v}") } else { format!("\"{k}\":\"{v}\"") })
        .collect();
    let request = format!(r#"{{"id":1,"method":"order.place","params":{{{}}}}}"#, fields.join(","));
    let (mut socket, _) = tungstenite::connect(format!("ws://{}/ws-fapi/v1", desk.venue)).unwrap();
    socket.send(tungstenite::Message::text(request)).unwrap();
    let answer = socket.read().unwrap().into_text().unwrap().to_string();
    assert!(answer.contains("\"status\":200"), "{answer}");
}

/// Kill stamp, look that saw it, and when every order written had its text, in the newest session.
fn stamps(desk: &Desk) -> (Vec<KillRecord>, Vec<u64>) {
    let (mut kills, mut writes) = (Vec::new(), Vec::new());
    let filter = Filter { session: None, lane: Some("gateway".into()), kind: None };
    let mut is_cancel = false;
    journal::cat(&desk.data, &filter, |record| match record.kind() {
        Some(Kind::Kill) => kills.push(record.body::<KillRecord>().unwrap()),
        Some(Kind::Cancel) => is_cancel = true,
        Some(Kind::Order) => is_cancel = false,
        Some(Kind::OrderWritten) if !is_cancel => {
            writes.push(record.body::<OrderWrittenRecord>().unwrap().begun_ns)
        }
        _ => {}
    })
    .unwrap();
    (kills, writes)
}

#[test]
fn no_order_write_begins_after_the_look_that_saw_the_kill_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--speed", "8"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 20).unwrap();
    let (code, text) = desk.run_here(&["kill"]).unwrap();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("seen by the gateway"), "{text}");
    assert_eq!(desk.status().unwrap().trading_state(), TradingState::Halted);
    std::thread::sleep(Duration::from_millis(500));
    // Latched: neither arming nor a restart releases it.
    assert_eq!(desk.run_here(&["arm"]).unwrap().0, 4);
    let (kills, writes) = {
        desk.stop().unwrap();
        stamps(&desk)
    };
    let kill = kills[0];
    let late = writes.iter().filter(|begun| **begun > kill.seen_ns).count();
    println!(
        "kill word stored to seen: {} ns; {} order writes, {late} after it",
        kill.seen_ns - kill.stored_ns,
        writes.len()
    );
    assert!(kill.stored_ns > 0 && kill.seen_ns >= kill.stored_ns);
    assert_eq!(late, 0);
    assert!(writes.len() >= 20);

    desk.start().unwrap();
    wait_for("the next session", || desk.status().is_ok_and(|s| s.is_reconciled())).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(desk.counter(Counter::OrdersSent), 0, "the latch holds over a restart");
    assert_eq!(desk.status().unwrap().trading_state(), TradingState::Halted);
    let (code, text) = desk.run_here(&["arm", "--clear-kill"]).unwrap();
    assert_eq!(code, 0, "{text}");
    desk.wait_for_counter(Counter::OrdersSent, 1).unwrap();
    desk.stop().unwrap();
}

/// Ways to the kill switch that need nobody but the hot process, and circumstances that must not matter.
#[test]
fn every_road_to_the_kill_switch_clears_the_venue() {
    let dir = tempfile::tempdir().unwrap();
    // Quotes rest at the venue all the time.
    let environment = [
        ("TICKPATH__PAIRS__IS_ENABLED", "false"),
        ("TICKPATH__MARKET_MAKER__IS_ENABLED", "true"),
        ("TICKPATH__MARKET_MAKER__PAUSE_MS", "20"),
        ("TICKPATH__VENUE__PRIVATE_SILENCE_MS", "1000"),
        ("TICKPATH__VENUE__ANSWER_TIMEOUT_MS", "300"),
        ("TICKPATH__SUPERVISOR__STALL_MS", "60000"),
    ];
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&[]).unwrap();
    desk.start().unwrap();
    let roads = ["command", "file", "signal", "control stopped", "order session half-open"];
    for road in (0..5 * roads.len()).map(|number| roads[number % roads.len()]) {
        wait_for("quotes", || {
            desk.status().is_ok_and(|s| s.instrument(0, InstrumentWord::OpenOrders) > 0)
                && desk.venue_truth().is_ok_and(|v| !v.open_orders.is_empty())
        })
        .unwrap();
        let control = desk.child("control").unwrap();
        match road {
            "control stopped" => signal(control, rustix::process::Signal::STOP),
            "order session half-open" => {
                let fault = "[[fault]]\nkind = \"half_open\"\non = [\"orders\"]";
                assert_eq!(http::send(desk.venue, "POST", "/admin/faults", fault).unwrap().0, 200);
            }
            _ => {}
        }
        let from = Instant::now();
        match road {
            "file" => std::fs::write(desk.data.kill_latch(), "by hand").unwrap(),
            "signal" => signal(desk.child("hot").unwrap(), rustix::process::Signal::USR1),
            _ => assert_eq!(desk.run_here(&["kill"]).unwrap().0, 0),
        }
        wait_for("the gateway to halt", || {
            desk.status().is_ok_and(|s| s.trading_state() == TradingState::Halted)
        })
        .unwrap();
        let (halted, orders) = (from.elapsed(), desk.counter(Counter::OrdersSent));
        wait_for("the venue to be clear", || desk.venue_truth().is_ok_and(|v| v.open_orders.is_empty()))
            .unwrap();
        println!("{road}: halted after {halted:.1?}, venue seen clear after {:.1?}", from.elapsed());
        assert_eq!(http::send(desk.venue, "DELETE", "/admin/faults", "").unwrap().0, 200);
        signal(control, rustix::process::Signal::CONT);
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(desk.counter(Counter::OrdersSent), orders, "{road}: an order after the halt");
        // The word comes first: a slow disk stands in nobody's way.
        wait_for("the latch", || desk.data.kill_latch().exists()).unwrap();
        wait_for("the account to be proven", || desk.status().is_ok_and(|s| s.is_reconciled())).unwrap();
        let (code, text) = desk.run_here(&["arm", "--clear-kill"]).unwrap();
        assert_eq!(code, 0, "{text}");
    }
    assert_eq!(desk.stop().unwrap(), 0);
}

/// A hot process that hangs: the supervisor sets the word, clears the venue by REST and restarts it, every time.
#[test]
fn a_hung_hot_process_takes_the_kill_road() {
    const STALL_MS: u64 = 700;
    let dir = tempfile::tempdir().unwrap();
    let mut environment = Desk::busy();
    environment.push(("TICKPATH__SUPERVISOR__STALL_MS", "700"));
    environment.push(("TICKPATH__SUPERVISOR__CRASHES_MAX", "100"));
    environment.push(("TICKPATH__SUPERVISOR__BACKOFF_MS_MAX", "200"));
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&[]).unwrap();
    desk.start().unwrap();
    let mut longest = Duration::ZERO;
    for round in 0..20 {
        desk.wait_for_counter(Counter::OrdersSent, 1).unwrap();
        place_resting(&desk, &format!("by-hand-{round}"));
        let hot = desk.child("hot").unwrap();
        // The supervisor looks once the process has run for so long.
        let runs_ns = || desk.status().map_or(0, |s| host_ns_now() - s.identity().start_host_ns);
        wait_for("the watch to begin", || runs_ns() > 2 * STALL_MS * 1_000_000).unwrap();
        signal(hot, rustix::process::Signal::STOP);
        let start = Instant::now();
        wait_for("the venue to be clear", || desk.venue_truth().is_ok_and(|v| v.open_orders.is_empty()))
            .unwrap();
        longest = longest.max(start.elapsed());
        wait_for("a new process", || desk.child("hot").is_some_and(|pid| pid != hot)).unwrap();
        assert!(desk.data.kill_latch().exists());
        let is_proven = || desk.status().is_ok_and(|s| s.identity().pid != hot && s.is_reconciled());
        wait_for("the account to be proven", is_proven).unwrap();
        assert_eq!(desk.status().unwrap().trading_state(), TradingState::Halted, "latched over the restart");
        assert_eq!(desk.counter(Counter::OrdersSent), 0);
        let (code, text) = desk.run_here(&["arm", "--clear-kill"]).unwrap();
        assert_eq!(code, 0, "{text}");
    }
    println!("20 times hung: clear within {longest:.1?}, {STALL_MS} ms of them until it counts as hung");
    desk.stop().unwrap();
    let log = std::fs::read_to_string(desk.data.root().join("run.out")).unwrap();
    assert_eq!(log.matches("taking the kill road").count(), 20, "{log}");
    assert_eq!(log.matches("shows no open order").count(), 20, "{log}");
}

/// The hot process stays down, and the venue cannot be reached just then: what is open is canceled once it can.
#[test]
fn a_kill_road_that_led_nowhere_is_walked_again() {
    let dir = tempfile::tempdir().unwrap();
    let environment = [
        ("TICKPATH__PAIRS__IS_ENABLED", "false"),
        ("TICKPATH__VENUE__COUNTDOWN_MS", "0"),
        ("TICKPATH__SUPERVISOR__CRASHES_MAX", "1"),
    ];
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&[]).unwrap();
    desk.start().unwrap();
    wait_for("the account to be proven", || desk.status().is_ok_and(|s| s.is_reconciled())).unwrap();
    place_resting(&desk, "by-hand");
    let log = || std::fs::read_to_string(desk.data.root().join("run.out")).unwrap_or_default();
    signal(desk.venue_pid().unwrap(), rustix::process::Signal::STOP);
    signal(desk.child("hot").unwrap(), rustix::process::Signal::KILL);
    wait_for("the road to be given up", || log().contains("kill road: given up")).unwrap();
    signal(desk.venue_pid().unwrap(), rustix::process::Signal::CONT);
    wait_for("the venue to be clear", || desk.venue_truth().is_ok_and(|v| v.open_orders.is_empty())).unwrap();
    wait_for("the end of the road", || log().contains("kill road: the venue shows no open order")).unwrap();
    assert!(desk.data.kill_latch().exists() && desk.child("hot").is_none());
    desk.stop().unwrap();
}
