//! Databases that are copied while they are written, put back, and made anew from the archive.

use crate::PROGRAM;
use tickpath_control::store;
use tickpath_shared::counters::Counter;
use tickpath_tests::desk::{Desk, signal, wait_for};

#[test]
fn a_backup_under_load_is_what_the_archive_folds_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--seed", "71"]).unwrap();
    desk.start().unwrap();
    let to = |number: usize| dir.path().join(format!("backup-{number}")).display().to_string();
    for number in 0..5 {
        let fills = desk.counter(Counter::Fills);
        desk.wait_for_counter(Counter::Fills, fills + 6).unwrap();
        let (code, text) = desk.run_here(&["backup", "--to", &to(number)]).unwrap();
        assert!(
            code == 0 && text.contains("simulation.db") && text.contains("simulation-audit.db"),
            "{text}"
        );
        if number == 2 {
            // It is started again and goes on where its cursor was.
            let control = desk.child("control").unwrap();
            signal(control, rustix::process::Signal::KILL);
            wait_for("another control process", || desk.child("control").is_some_and(|pid| pid != control))
                .unwrap();
        }
    }
    let (code, text) = desk.run_here(&["restore", "--from", &to(0)]).unwrap();
    assert!(code == 1 && text.contains("stop it first"), "{code} {text}");
    assert_eq!(desk.stop().unwrap(), 0);

    for number in 0..5 {
        let (code, text) = desk.run_here(&["restore", "--verify", "--from", &to(number)]).unwrap();
        assert!(code == 0 && text.contains("to the last row"), "{number}: {code} {text}");
    }
    let live = desk.data.store("simulation");
    let rows = store::row_counts(&live).unwrap();
    println!("{rows:?}");
    let (code, text) = desk.run_here(&["rebuild"]).unwrap();
    assert!(code == 0 && text.contains("the store was what the archive folds to"), "{text}");
    assert_eq!(store::row_counts(&live).unwrap(), rows);

    // What was changed by hand is found, and gone after another rebuild.
    store::open(&live)
        .unwrap()
        .execute(
            "UPDATE fills SET price_e8 = price_e8 + 1 WHERE trade_id = (SELECT MIN(trade_id) FROM fills)",
            [],
        )
        .unwrap();
    let (_, text) = desk.run_here(&["rebuild"]).unwrap();
    assert!(text.contains("the store before was different: fills: 1 rows"), "{text}");
    let (_, text) = desk.run_here(&["rebuild"]).unwrap();
    assert!(text.contains("the store was what the archive folds to"), "{text}");

    // An old copy in its place catches up by itself when the control process runs again.
    let (code, text) = desk.run_here(&["restore", "--from", &to(1)]).unwrap();
    assert_eq!(code, 0, "{text}");
    let fills =
        |rows: &[(String, u64)]| rows.iter().find(|(table, _)| table == "fills").map(|(_, count)| *count);
    assert!(fills(&store::row_counts(&live).unwrap()) < fills(&rows));
    desk.start().unwrap();
    wait_for("the store to catch up", || {
        store::row_counts(&live).is_ok_and(|now| fills(&now) >= fills(&rows))
    })
    .unwrap();
    assert_eq!(desk.stop().unwrap(), 0);
    let (_, text) = desk.run_here(&["rebuild"]).unwrap();
    assert!(text.contains("the store was what the archive folds to"), "{text}");
}
