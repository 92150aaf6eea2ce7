//! A desk that trades while the simulator and its network misbehave by plan: what both ends believe in the end is the
//! same, and nothing was traded that must not be.

use crate::PROGRAM;
use std::time::{Duration, Instant};
use tickpath_shared::{
    counters::Counter,
    record::{IntentRecord, Kind, OrderRecord},
};
use tickpath_tests::{
    desk::{Desk, wait_for},
    http,
};
use tickpath_tools::offline::journal::{self, Filter};

/// Tells the simulator what goes wrong from now on.
fn plan(desk: &Desk, faults: &str) {
    let (status, text) = http::send(desk.venue, "POST", "/admin/faults", faults).unwrap();
    assert_eq!(status, 200, "{text}");
}

/// Ends every fault.
fn calm(desk: &Desk) {
    assert_eq!(http::send(desk.venue, "DELETE", "/admin/faults", "").unwrap().0, 200);
}

/// How often the faults of a kind have happened.
fn happened(desk: &Desk, kind: &str) -> u64 {
    let (_, text) = http::get(desk.venue, "/admin/faults").unwrap();
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of_kind = rows.as_array().unwrap().iter().filter(|row| row["fault"]["kind"] == kind);
    of_kind.filter_map(|row| row["count"].as_u64()).sum()
}

fn trading_desk(dir: &std::path::Path, further: &[(&'static str, &'static str)], seed: &str) -> Desk {
    let mut environment = Desk::busy();
    environment.extend(further);
    let mut desk = Desk::new(dir, PROGRAM, &environment).unwrap();
    desk.start_venue(&["--seed", seed]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 3).unwrap();
    desk
}

/// Waits until nothing is unknown any more, and compares with the venue.
fn assert_both_ends_agree(desk: &Desk) {
    let (code, text) = desk.run_here(&["disarm"]).unwrap();
    assert_eq!(code, 0, "{text}");
    let agrees = || {
        let (Ok(status), Ok(truth)) = (desk.status(), desk.venue_truth()) else { return false };
        let ours = (0..2).map(|i| status.instrument(i, tickpath_shared::status::InstrumentWord::Position));
        let open: i64 =
            (0..2).map(|i| status.instrument(i, tickpath_shared::status::InstrumentWord::OpenOrders)).sum();
        open == 0 && truth.open_orders.is_empty() && ours.eq(truth.positions.iter().copied())
    };
    wait_for("both ends to agree", agrees).unwrap();
}

/// The oldest book, by the venue's clock or by ours, that an opening order was decided on, milliseconds.
fn oldest_book_ms(desk: &Desk) -> u64 {
    let (mut intents, mut oldest) = (std::collections::BTreeMap::new(), 0);
    let filter = Filter { session: None, lane: None, kind: None };
    journal::cat(&desk.data, &filter, |record| match record.kind() {
        Some(Kind::Intent) => {
            let intent: IntentRecord = record.body().unwrap();
            intents.insert(intent.number, intent.book_ns);
        }
        Some(Kind::Order) => {
            let order: OrderRecord = record.body().unwrap();
            if let Some(book_ns) = intents.get(&order.intent) {
                oldest = oldest.max(record.header.time.saturating_sub(*book_ns) / 1_000_000);
            }
        }
        _ => {}
    })
    .unwrap();
    oldest
}

#[test]
fn everything_at_once_leaves_both_ends_with_the_same_account() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = trading_desk(dir.path(), &[], "21");
    let faults = r#"
        seed = 5
        [[fault]]
        kind = "drop"
        on = ["orders"]
        probability = 0.1
        [[fault]]
        kind = "late"
        on = ["orders", "account"]
        probability = 0.1
        delay_ms = 1500
        [[fault]]
        kind = "repeat"
        on = ["account"]
        probability = 0.1
        [[fault]]
        kind = "drop"
        on = ["account"]
        contains = "\"x\":\"TRADE\""
        probability = 0.02
        [[fault]]
        kind = "timeout"
        on = ["orders"]
        probability = 0.05
        [[fault]]
        kind = "bad_gateway"
        on = ["rest"]
        probability = 0.1
        [[fault]]
        kind = "garble"
        on = ["books", "market", "orders", "account"]
        probability = 0.005
        [[fault]]
        kind = "swap"
        on = ["books"]
        probability = 0.005
        [[fault]]
        kind = "listen_key"
        from_s = 6
        every_s = 11
        [[fault]]
        kind = "reset"
        on = ["books", "market"]
        from_s = 3
        every_s = 5
        [[fault]]
        kind = "reset"
        on = ["orders", "account"]
        from_s = 4
        every_s = 7
        [[fault]]
        kind = "close"
        from_s = 9
        every_s = 13
    "#;
    plan(&desk, faults);
    let start = Instant::now();
    let kinds = [
        "drop",
        "late",
        "repeat",
        "timeout",
        "bad_gateway",
        "garble",
        "swap",
        "listen_key",
        "reset",
        "close",
    ];
    let counts =
        || -> Vec<String> { kinds.iter().map(|kind| format!("{kind} {}", happened(&desk, kind))).collect() };
    let is_enough = || {
        ["reset", "listen_key", "timeout", "garble", "close"].iter().all(|kind| happened(&desk, kind) >= 2)
            && happened(&desk, "reset") >= 10
    };
    while !is_enough() {
        let status = desk.status().unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "the plan goes on for too long: {} orders, {} refused, {} rejected, {}, {}, {}",
            status.counter(Counter::OrdersSent),
            status.counter(Counter::Refusals),
            status.counter(Counter::OrdersRejected),
            status.trading_state(),
            if status.is_reconciled() { "reconciled" } else { "not reconciled" },
            counts().join(", ")
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    let counts = counts();
    let sent = desk.counter(Counter::OrdersSent);
    println!("{sent} orders in {:.0?} of {}", start.elapsed(), counts.join(", "));
    calm(&desk);
    desk.wait_for_counter(Counter::OrdersSent, sent + 2).unwrap();
    assert_both_ends_agree(&desk);
    assert_eq!(desk.stop().unwrap(), 0);
}

/// Delays of up to half a second, one in twenty three times as long, on everything.
#[test]
fn a_jittery_network_delays_and_stales_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = trading_desk(dir.path(), &[("TICKPATH__VENUE__RECV_WINDOW_MS", "2000")], "22");
    plan(
        &desk,
        "[[fault]]\nkind = \"delay\"\ndelay_ms = 500\n\
         [[fault]]\nkind = \"delay\"\nprobability = 0.05\ndelay_ms = 1500\non = [\"books\", \"market\", \"orders\", \"account\"]",
    );
    let sent = desk.counter(Counter::OrdersSent);
    desk.wait_for_counter(Counter::OrdersSent, sent + 10).unwrap();
    let delayed = happened(&desk, "delay");
    calm(&desk);
    assert_both_ends_agree(&desk);
    assert_eq!(desk.stop().unwrap(), 0);
    let oldest = oldest_book_ms(&desk);
    println!("{delayed} messages delayed; the oldest book that was traded on: {oldest} ms");
    assert!(oldest <= 2_000, "{oldest} ms");
}

/// Connections that neither bring nor take anything, although nobody has closed them.
#[test]
fn half_open_connections_of_every_kind_are_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let limits = [
        ("TICKPATH__VENUE__BOOK_SILENCE_MS", "1000"),
        ("TICKPATH__VENUE__MARKET_SILENCE_MS", "1500"),
        ("TICKPATH__VENUE__PRIVATE_SILENCE_MS", "2000"),
    ];
    let mut desk = trading_desk(dir.path(), &limits, "23");
    for channel in ["books", "market", "orders", "account", "books"] {
        let (lost, made) = (desk.counter(Counter::LinksSilent), desk.counter(Counter::Reconnects));
        let from = Instant::now();
        plan(&desk, &format!("[[fault]]\nkind = \"half_open\"\non = [\"{channel}\"]"));
        wait_for("the silence to be noticed", || desk.counter(Counter::LinksSilent) > lost).unwrap();
        let noticed = from.elapsed();
        calm(&desk);
        let from = Instant::now();
        wait_for("a new connection", || desk.counter(Counter::Reconnects) > made).unwrap();
        let sent = desk.counter(Counter::OrdersSent);
        desk.wait_for_counter(Counter::OrdersSent, sent + 1).unwrap();
        println!(
            "{channel}: noticed after {noticed:.1?}, trading {:.1?} after the network was back",
            from.elapsed()
        );
    }
    assert_both_ends_agree(&desk);
    assert_eq!(desk.stop().unwrap(), 0);
}

/// The venue says beforehand that it will close every connection: each is replaced before.
#[test]
fn connections_that_the_venue_will_close_are_replaced_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = trading_desk(dir.path(), &[], "25");
    let (made, from) = (desk.counter(Counter::Reconnects), Instant::now());
    plan(&desk, "[[fault]]\nkind = \"shutdown\"\non = [\"books\", \"market\", \"orders\", \"account\"]");
    desk.wait_for_counter(Counter::Reconnects, made + 4).unwrap();
    let replaced = from.elapsed();
    let sent = desk.counter(Counter::OrdersSent);
    desk.wait_for_counter(Counter::OrdersSent, sent + 2).unwrap();
    // Past the moment at which the venue closes what is left of them.
    std::thread::sleep(Duration::from_secs(11).saturating_sub(from.elapsed()));
    println!("four connections replaced within {replaced:.1?} of the notice");
    assert!(replaced < Duration::from_secs(9), "{replaced:?}");
    for counter in [Counter::BookGaps, Counter::LinesLost, Counter::DepthDuplicates] {
        assert_eq!(desk.counter(counter), 0, "{counter}");
    }
    assert_eq!(desk.counter(Counter::Snapshots), 2, "no book was lost");
    assert_both_ends_agree(&desk);
    assert_eq!(desk.stop().unwrap(), 0);
}

/// A stream that brings nothing while the others of its connection are well.
#[test]
fn a_stream_that_was_asked_for_in_vain_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut environment = Desk::busy();
    environment.push(("TICKPATH__VENUE__FIRST_MESSAGE_MS", "2000"));
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&["--seed", "26"]).unwrap();
    plan(&desk, "[[fault]]\nkind = \"drop\"\non = [\"books\"]\ncontains = \"ethusdt@depth\"");
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Reconnects, 1).unwrap();
    assert_eq!(desk.counter(Counter::OrdersSent), 0);
    calm(&desk);
    desk.wait_for_counter(Counter::OrdersSent, 2).unwrap();
    assert_both_ends_agree(&desk);
    assert_eq!(desk.stop().unwrap(), 0);
}

/// Trading of an instrument stops and starts again while we trade it; then its tick changes, which ends the session in
/// order and starts another one on the new grid.
#[test]
fn rules_that_change_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = trading_desk(dir.path(), &[("TICKPATH__VENUE__DEFINITIONS_EVERY_S", "1")], "27");
    let is_trading = |desk: &Desk| desk.status().unwrap().definition(0).unwrap().is_trading == 1;
    let session = desk.status().unwrap().identity().session;
    for _ in 0..2 {
        plan(&desk, "[[fault]]\nkind = \"halt\"\nsymbol = \"BTCUSDT\"");
        wait_for("the halt to be seen", || !is_trading(&desk)).unwrap();
        let refused = desk.counter(Counter::Refusals);
        desk.wait_for_counter(Counter::Refusals, refused + 2).unwrap();
        plan(&desk, "[[fault]]\nkind = \"halt\"\nsymbol = \"BTCUSDT\"");
        wait_for("the end of the halt to be seen", || is_trading(&desk)).unwrap();
        let filled = desk.counter(Counter::OrdersFilled);
        desk.wait_for_counter(Counter::OrdersFilled, filled + 2).unwrap();
    }
    assert_eq!(desk.status().unwrap().identity().session, session, "the same process");
    plan(&desk, "[[fault]]\nkind = \"tick_size\"\nsymbol = \"BTCUSDT\"\ntick = \"0.50\"");
    wait_for("the next session", || desk.status().is_ok_and(|s| s.identity().session > session)).unwrap();
    desk.wait_for_counter(Counter::OrdersFilled, 4).unwrap();
    let definition = desk.status().unwrap().definition(0).unwrap();
    assert_eq!((definition.tick, desk.counter(Counter::OrdersRejected)), (50, 0));
    assert_both_ends_agree(&desk);
    assert_eq!(desk.stop().unwrap(), 0);
    let log = std::fs::read_to_string(desk.data.root().join("run.out")).unwrap();
    assert!(log.contains("hot ended: exit status: 7"), "{log}");
}

/// The venue's clock and ours are apart, by little and by much: requests out of their time are refused by the venue,
/// the offset is measured again, and trading goes on.
#[test]
fn clocks_that_are_apart_are_measured_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = trading_desk(dir.path(), &[("TICKPATH__RISK__BOOK_VENUE_AGE_MS_MAX", "0")], "24");
    for offset_ms in [500, -500, 3_600_000, -3_600_000, 0] {
        plan(&desk, &format!("[[fault]]\nkind = \"clock\"\noffset_ms = {offset_ms}"));
        let from = Instant::now();
        let (accepted, refused) =
            (desk.counter(Counter::OrdersAccepted), desk.counter(Counter::OrdersRejected));
        desk.wait_for_counter(Counter::OrdersAccepted, accepted + 3).unwrap();
        println!(
            "{offset_ms} ms apart: {} orders refused, trading after {:.1?}",
            desk.counter(Counter::OrdersRejected) - refused,
            from.elapsed()
        );
    }
    assert_both_ends_agree(&desk);
    assert_eq!(desk.stop().unwrap(), 0);
}
