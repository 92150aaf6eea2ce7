//! What people and breakers stop, in real processes: it is stopped at the venue, it stays so over a crash, and the
//! session replays.

use crate::PROGRAM;
use std::{io::Write, time::Duration};
use tickpath_shared::{
    counters::Counter,
    record::{BreakerRecord, IntentRecord, Kind, OrderRecord, ParameterRecord, Record, RefusalRecord},
    status::InstrumentWord,
    types::{BreakerChange, Parameter, Reason},
};
use tickpath_tests::desk::{Desk, wait_for};
use tickpath_tools::offline::{
    journal::{self, Filter},
    replay::{self, ReplayPlan},
};

fn trading(desk: &mut Desk, seed: &str) {
    desk.start_venue(&["--seed", seed]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Fills, 10).unwrap();
}

fn run(desk: &Desk, arguments: &[&str]) -> String {
    let (code, text) = desk.run_here(arguments).unwrap();
    assert_eq!(code, 0, "{arguments:?}: {text}");
    text
}

/// Kills the hot process and waits for the session after it to know its account.
fn crash(desk: &Desk) {
    let before = desk.data.current_session().unwrap().unwrap().session;
    desk.kill_child("hot").unwrap();
    let is_next = || desk.data.current_session().unwrap().is_some_and(|c| c.session != before);
    wait_for("the next session", is_next).unwrap();
    wait_for("the account", || desk.status().is_ok_and(|s| s.is_reconciled())).unwrap();
}

/// Every record of the session that runs; none while there is none to be read yet.
fn each(desk: &Desk, take: impl FnMut(&Record<'_>)) {
    let session = desk.data.current_session().unwrap().map(|current| current.session);
    let filter = Filter { session, lane: None, kind: None };
    let _ = journal::cat(&desk.data, &filter, take);
}

/// Refusals of a reason, and orders that may open something, of the newest session.
fn openings(desk: &Desk, reason: Reason) -> (usize, usize) {
    let (mut refused, mut opened) = (0, 0);
    each(desk, |record| match record.kind() {
        Some(Kind::Refusal) => {
            refused += usize::from(record.body::<RefusalRecord>().unwrap().reason == reason as u16);
        }
        Some(Kind::Order) => {
            opened += usize::from(record.body::<OrderRecord>().unwrap().is_reduce_only == 0);
        }
        _ => {}
    });
    (refused, opened)
}

fn is_flat(desk: &Desk) -> bool {
    let (Ok(status), Ok(truth)) = (desk.status(), desk.venue_truth()) else { return false };
    let ours = (0..2).all(|i| status.instrument(i, InstrumentWord::Position) == 0);
    ours && truth.positions.iter().all(|qty| *qty == 0) && truth.open_orders.is_empty()
}

#[test]
fn a_strategy_that_was_stopped_stays_stopped_over_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    trading(&mut desk, "51");
    run(&desk, &["stop", "--strategy", "pairs", "--cancel"]);
    let refused = || openings(&desk, Reason::Stopped).0;
    wait_for("refusals", || refused() > 0).unwrap();
    crash(&desk);
    wait_for("refusals after the crash", || refused() > 0).unwrap();
    assert_eq!(openings(&desk, Reason::Stopped).1, 0, "the session opened something");
    let text = desk.run_here(&["arm", "--symbol", "NONE"]).unwrap();
    assert!(text.0 != 0 && text.1.contains("NONE"), "{text:?}");
    run(&desk, &["arm", "--strategy", "pairs"]);
    desk.wait_for_counter(Counter::OrdersSent, 5).unwrap();
    assert_eq!(desk.stop().unwrap(), 0);
    let report = replay::replay(&desk.data, &ReplayPlan::default()).unwrap();
    assert!(report.is_identical(), "{:?} {:?}", report.first_difference, report.first_state_difference);
}

#[test]
fn positions_are_closed_on_command_and_stay_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    trading(&mut desk, "52");
    for _ in 0..5 {
        wait_for("a position", || {
            desk.status().is_ok_and(|s| (0..2).any(|i| s.instrument(i, InstrumentWord::Position) != 0))
        })
        .unwrap();
        run(&desk, &["flatten"]);
        wait_for("both ends to be flat", || is_flat(&desk)).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        assert!(is_flat(&desk));
        run(&desk, &["arm"]);
    }
    assert_eq!(desk.stop().unwrap(), 0);
    let report = replay::replay(&desk.data, &ReplayPlan::default()).unwrap();
    assert!(report.is_identical(), "{:?} {:?}", report.first_difference, report.first_state_difference);
}

#[test]
fn a_loss_closes_everything_and_is_latched_over_crashes() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(desk.data.config()).unwrap();
    // Fees alone see to that.
    let breaker = "\n[[breaker]]\nmetric = \"realized_loss\"\nthreshold = 2.5\naction = \"flatten\"\n";
    file.write_all(breaker.as_bytes()).unwrap();
    desk.start_venue(&["--seed", "53"]).unwrap();
    desk.start().unwrap();
    let changes = || {
        let mut changes = Vec::new();
        each(&desk, |record| {
            if record.kind() == Some(Kind::Breaker) {
                let breaker: BreakerRecord = record.body().unwrap();
                changes.push(BreakerChange::from_repr(breaker.change).unwrap());
            }
        });
        changes
    };
    wait_for("the loss", || !changes().is_empty()).unwrap();
    // From the moment it is on the disk no crash forgets it.
    let is_stored = || {
        let text = std::fs::read_to_string(desk.data.run().join("day.json")).unwrap_or_default();
        let day: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        day["latched"].as_u64().is_some_and(|latched| latched != 0)
    };
    wait_for("the breaker to be stored", is_stored).unwrap();
    wait_for("both ends to be flat", || is_flat(&desk)).unwrap();
    for _ in 0..3 {
        crash(&desk);
        wait_for("refusals", || openings(&desk, Reason::Breaker).0 > 0).unwrap();
        assert_eq!(openings(&desk, Reason::Breaker).1, 0, "the session opened something");
        assert_eq!(changes(), [BreakerChange::Restored]);
    }
    run(&desk, &["release-breakers"]);
    wait_for("the loss that still is one", || changes().last() == Some(&BreakerChange::Tripped)).unwrap();
    assert!(changes().contains(&BreakerChange::Released));
    assert_eq!(desk.stop().unwrap(), 0);
    let report = replay::replay(&desk.data, &ReplayPlan::default()).unwrap();
    assert!(report.is_identical(), "{:?} {:?}", report.first_difference, report.first_state_difference);
}

#[test]
fn parameters_change_while_the_strategy_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    trading(&mut desk, "54");
    run(&desk, &["set", "pairs.stop_z", "100"]);
    run(&desk, &["set", "pairs.entry_z", "7.5"]);
    for (arguments, part) in [
        (&["set", "pairs.exit_z", "8"][..], "does not take that value"),
        (&["set", "market_maker.k", "2"], "no such instrument or strategy"),
        (&["set", "--strategy", "pairs", "1000", "2"], "no such parameter"),
        (&["set", "pairs.nonsense", "2"], "say of which strategy"),
    ] {
        let (code, text) = desk.run_here(arguments).unwrap();
        assert!(code != 0 && text.contains(part), "{arguments:?}: {text}");
    }
    let sent = desk.counter(Counter::Intents);
    let bound = || {
        let mut last = (0, 0.0);
        each(&desk, |record| match record.kind() {
            Some(Kind::Intent) => last.0 = record.body::<IntentRecord>().unwrap().number,
            Some(Kind::Parameter) => {
                let record: ParameterRecord = record.body().unwrap();
                if record.is_taken == 1 && record.parameter == Parameter::PairsEntryZ as u16 {
                    last.1 = f64::from_bits(record.value_bits);
                }
            }
            _ => {}
        });
        last
    };
    assert_eq!(bound().1, 7.5);
    // What is held may be closed; hardly anything is that far off.
    std::thread::sleep(Duration::from_secs(2));
    let quiet = desk.counter(Counter::Intents) - sent;
    run(&desk, &["set", "pairs.entry_z", "0.6"]);
    let wanted = sent + quiet + 20;
    wait_for("intents", || desk.counter(Counter::Intents) > wanted).unwrap();
    println!("{quiet} intents in two seconds with the entry out of reach");
    assert_eq!(desk.stop().unwrap(), 0);
    let report = replay::replay(&desk.data, &ReplayPlan::default()).unwrap();
    assert!(report.is_identical(), "{:?} {:?}", report.first_difference, report.first_state_difference);
}

#[test]
fn orders_wait_for_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let environment = [
        ("TICKPATH__PAIRS__IS_ENABLED", "false"),
        ("TICKPATH__SIGNAL_FOLLOW__IS_ENABLED", "true"),
        ("TICKPATH__RISK__CONFIRM", "true"),
    ];
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&["--seed", "56"]).unwrap();
    desk.start().unwrap();
    wait_for("the account", || desk.status().is_ok_and(|s| s.is_reconciled())).unwrap();
    let waiting = || -> Vec<String> {
        let Ok((0, text)) = desk.run_here(&["held", "--json"]) else { return Vec::new() };
        let orders: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        orders.iter().map(|order| order["order"].as_str().unwrap().to_owned()).collect()
    };
    // Signals from outside; the first of them waits.
    let signal = |value: &str| {
        run(&desk, &["set", "signal_follow.signal", value]);
        wait_for("an order that waits", || waiting().len() == 1).unwrap();
        waiting().remove(0)
    };
    let first = signal("1");
    assert_eq!(desk.counter(Counter::OrdersSent), 0);
    assert!(run(&desk, &["held"]).contains(&format!("{first}: signal_follow buy ")));
    let intent = first.split('.').next_back().unwrap();
    for (wrong, why) in [(intent.to_owned(), "is no order"), (format!("17.{intent}"), "session 17 is over")] {
        let (code, text) = desk.run_here(&["approve", &wrong]).unwrap();
        assert!(code == 1 && text.contains(why), "{code} {text}");
    }
    run(&desk, &["approve", &first]);
    desk.wait_for_counter(Counter::Fills, 1).unwrap();
    let (code, text) = desk.run_here(&["approve", &first]).unwrap();
    assert!(code == 1 && text.contains("No order of that intent"), "{code} {text}");
    // What closes waits for nobody; the other side does, and is taken back when the signal ends.
    let second = signal("-1");
    assert_eq!(desk.status().unwrap().instrument(0, InstrumentWord::Position), 0);
    run(&desk, &["set", "signal_follow.signal", "0"]);
    wait_for("it to be taken back", || waiting().is_empty()).unwrap();
    let (code, text) = desk.run_here(&["deny", &second]).unwrap();
    assert!(code == 1 && text.contains("No order of that intent"), "{code} {text}");
    let third = signal("1");
    run(&desk, &["deny", &third]);
    assert_eq!(openings(&desk, Reason::NotApproved), (1, 1));
    let story = run(&desk, &["why"]);
    assert!(story.contains(&format!("intent {intent}: A person approved it")), "{story}");
    assert_eq!(desk.stop().unwrap(), 0);
    let report = replay::replay(&desk.data, &ReplayPlan::default()).unwrap();
    assert!(report.is_identical(), "{:?} {:?}", report.first_difference, report.first_state_difference);
}
