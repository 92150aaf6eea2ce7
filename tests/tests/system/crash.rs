//! Processes killed at random moments: nothing is lost, nothing is stored twice.

use crate::PROGRAM;
use rusqlite::Connection;
use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};
use tickpath_control::store;
use tickpath_shared::{
    counters::Counter,
    journal::list_sessions,
    paths::DataDir,
    record::{Kind, OrderRecord},
};
use tickpath_tests::{
    desk::{Desk, VenueTruth, wait_for},
    volume,
};
use tickpath_tools::offline::journal::{self, Filter};

fn kills() -> u64 {
    volume("TICKPATH_KILLS", 20)
}

/// Pauses of a seed, 20 to 500 ms.
fn pauses(seed: u64) -> impl FnMut() -> Duration {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(20 + (state >> 33) % 480)
    }
}

/// Every row of the tables that trading fills, as text.
fn dump(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut rows = Vec::new();
    for table in ["orders", "fills", "trades", "positions", "events"] {
        let mut query = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3")).unwrap();
        let columns = query.column_count();
        let mut found = query.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let cells: Vec<String> = (0..columns).map(|i| format!("{:?}", row.get_ref(i).unwrap())).collect();
            rows.push(format!("{table}: {}", cells.join("|")));
        }
    }
    rows
}

/// The store is the fold of the archive.
fn assert_store_is_fold(desk: &Desk) {
    let dir = tempfile::tempdir().unwrap();
    let again = dir.path().join("again.db");
    let mut connection = store::open(&again).unwrap();
    store::fold_sessions(&mut connection, &desk.data).unwrap();
    drop(connection);
    let (stored, folded) = (dump(&desk.data.store("simulation")), dump(&again));
    assert!(stored.len() > 20, "{} rows", stored.len());
    let first = stored.iter().zip(&folded).find(|(a, b)| a != b);
    assert_eq!(first, None);
    assert_eq!(stored.len(), folded.len());
}

/// The store shows exactly the trades, positions and open orders that the venue shows.
fn assert_store_is_venue(desk: &Desk, venue: &VenueTruth) {
    let connection = Connection::open(desk.data.store("simulation")).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    for definition in &venue.definitions {
        let symbol = definition.symbol.as_str();
        let mut query = connection
            .prepare("SELECT trade_id, price_e8, qty_e8, fee_e8 FROM fills WHERE symbol = ?1 ORDER BY 1")
            .unwrap();
        let stored: Vec<[i64; 4]> = query
            .query_map([symbol], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let qty_unit = tickpath_shared::types::decimal::pow10(8 - definition.qty_scale);
        let shown: Vec<[i64; 4]> = venue
            .trades
            .iter()
            .filter(|t| t.instrument == definition.instrument)
            .map(|t| [t.trade_id as i64, definition.price_to_e8(t.price) as i64, t.qty * qty_unit, t.fee_e8])
            .collect();
        assert!(!shown.is_empty());
        assert_eq!(stored, shown, "{symbol}: store on the left, venue on the right");
        let position: i64 = connection
            .query_row("SELECT qty_e8 FROM positions WHERE symbol = ?1", [symbol], |row| row.get(0))
            .unwrap();
        assert_eq!(position, venue.positions[definition.instrument as usize] * qty_unit, "{symbol}");
    }
    let mut query = connection
        .prepare("SELECT client_order_id FROM orders WHERE state IN ('sent','working','partially_filled','unknown') ORDER BY 1")
        .unwrap();
    let open: Vec<String> = query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut shown: Vec<String> =
        venue.open_orders.iter().map(|o| o.client_order_id.as_str().to_owned()).collect();
    shown.sort();
    assert_eq!(open, shown, "open orders: store on the left, venue on the right");
}

fn stop_and_compare(desk: &mut Desk) {
    assert_eq!(desk.run_here(&["disarm"]).unwrap().0, 0);
    std::thread::sleep(Duration::from_millis(300));
    desk.stop().unwrap();
    let venue = desk.venue_truth().unwrap();
    assert_store_is_fold(desk);
    assert_store_is_venue(desk, &venue);
}

#[test]
fn control_killed_at_random_moments_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--speed", "4"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Fills, 1).unwrap();
    let mut pause = pauses(6);
    let (before, session) = (desk.counter(Counter::OrdersSent), desk.status().unwrap().identity().session);
    for _ in 0..kills() {
        std::thread::sleep(pause());
        desk.kill_child("control").unwrap();
    }
    assert!(desk.counter(Counter::OrdersSent) > before, "trading went on without control");
    assert_eq!(desk.status().unwrap().identity().session, session, "the hot process is the same");
    std::thread::sleep(Duration::from_millis(500));
    stop_and_compare(&mut desk);
}

#[test]
fn hot_killed_at_random_moments_comes_back_knowing_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--speed", "4"]).unwrap();
    desk.start().unwrap();
    let mut pause = pauses(7);
    let mut ready = Vec::new();
    for _ in 0..kills() {
        // Armed again after every restart, and caught in the middle of trading.
        let fills = Counter::OrdersSent;
        wait_for("orders after a restart", || desk.counter(fills) > 3).unwrap();
        std::thread::sleep(pause());
        let session = desk.status().unwrap().identity().session;
        let killed = Instant::now();
        desk.kill_child("hot").unwrap();
        let is_ready = || desk.status().is_ok_and(|s| s.identity().session > session && s.is_reconciled());
        wait_for("the next session to know everything", is_ready).unwrap();
        ready.push(killed.elapsed());
    }
    ready.sort_unstable();
    println!(
        "ready after a kill: median {:.1?}, longest of {} {:.1?}",
        ready[ready.len() / 2],
        ready.len(),
        ready[ready.len() - 1]
    );
    wait_for("the last reconciliation", || desk.status().is_ok_and(|s| s.is_reconciled())).unwrap();
    wait_for("orders at the end", || desk.counter(Counter::OrdersSent) > 3).unwrap();
    stop_and_compare(&mut desk);
    assert_journals_sound_and_ids_unique(&desk);
}

/// Trades that the venue listed for a session.
fn listed_trades(data: &DataDir, session: u64) -> usize {
    let filter = Filter {
        session: Some(session),
        lane: Some("session".into()),
        kind: Some(Kind::VenueTrade.label().into()),
    };
    let mut listed = 0;
    journal::cat(data, &filter, |_| listed += 1).unwrap();
    listed
}

fn assert_journals_sound_and_ids_unique(desk: &Desk) {
    let stats = journal::stat(&desk.data).unwrap();
    assert!(stats.iter().all(|stat| stat.error.is_none()), "{stats:?}");
    let mut ids = BTreeSet::new();
    let sessions = list_sessions(&desk.data).unwrap();
    assert!(sessions.len() as u64 > kills(), "{sessions:?}");
    for (session, is_first) in sessions.into_iter().zip(std::iter::once(true).chain(std::iter::repeat(false)))
    {
        assert_eq!(
            listed_trades(&desk.data, session) == 0,
            is_first,
            "session {session}: trades when it began"
        );
        let filter = Filter { session: Some(session), lane: Some("gateway".into()), kind: None };
        let mut is_reconciled = false;
        journal::cat(&desk.data, &filter, |record| match record.kind() {
            Some(Kind::Reconciled) => is_reconciled = true,
            Some(Kind::Order) => {
                assert!(is_reconciled, "session {session}: an order left before the account was known");
                let order: OrderRecord = record.body().unwrap();
                assert!(ids.insert(order.client_order_id.as_str().to_owned()), "{order:?} was used twice");
            }
            _ => {}
        })
        .unwrap();
    }
    assert!(ids.len() > 30, "{} orders", ids.len());
}

/// An order of an earlier session that is still open is known before the first new one, and canceled: no strategy
/// stands behind it any more.
#[test]
fn an_order_left_open_is_known_and_canceled() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&[]).unwrap();
    let id = "tp001-0000001-00000001";
    crate::kill::place_resting(&desk, id);
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 1).unwrap();
    wait_for("the cancel", || {
        desk.venue_truth().is_ok_and(|v| v.open_orders.iter().all(|o| o.client_order_id.as_str() != id))
    })
    .unwrap();
    desk.stop().unwrap();
    let filter = Filter { session: None, lane: Some("gateway".into()), kind: None };
    let mut seen = Vec::new();
    journal::cat(&desk.data, &filter, |record| {
        if matches!(record.kind(), Some(Kind::OpenOrder | Kind::Order)) {
            seen.push(record.kind().unwrap());
        }
    })
    .unwrap();
    assert_eq!(seen[0], Kind::OpenOrder, "{seen:?}");
}

#[test]
fn a_newer_epoch_of_our_own_prefix_refuses_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &[]).unwrap();
    desk.start_venue(&[]).unwrap();
    crate::kill::place_resting(&desk, "tp001-zzzzzzz-00000001");
    let mut hot = desk.spawn("hot").unwrap();
    assert_eq!(hot.wait(Duration::from_secs(30)).unwrap(), 4);
    let text = std::fs::read_to_string(desk.data.root().join("hot.out")).unwrap();
    assert!(text.contains("newer epoch") && text.contains("tp001-zzzzzzz-00000001"), "{text}");
}
