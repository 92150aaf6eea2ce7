//! Orders over an unreliable network in virtual time: the gateway as it trades, the simulator as it matches, the
//! REST client as it reads, and between them losses, delays, repetitions, timeouts and cuts.

mod agree;
mod io;
mod legs;
mod links;
pub mod local;
pub mod network;
mod world;

use network::Odds;
use world::World;

/// The volumes that reliability is stated for.
const ORDERS: u64 = 100_000;
const UNKNOWN_NS_MAX: u64 = 30_000_000_000;

fn run(seed: u64, odds: Odds, orders: u64) -> World {
    let mut world = World::new(seed, odds, orders);
    world.run();
    let seen = world.seen();
    println!(
        "seed {seed}: {} orders ({} accepted, {} cancels) in {} virtual s: {} fills ({} told again, {} early), {} shown positions ahead of their fills, {} outcomes unknown and \
         {} resolved, the longest {} ms; {} answers lost, {} late, {} behind their fill, {} timeouts; {} fills doubled, {} missed; \
         {} cuts; {} REST requests failed; {} amendments sent, {} told as done",
        seen.orders,
        world.accepted(),
        seen.cancels,
        world.now() / 1_000_000_000,
        seen.fills,
        seen.duplicate_fills,
        seen.early_fills,
        seen.mismatches,
        seen.unknown,
        seen.resolved,
        seen.longest_unknown_ns / 1_000_000,
        seen.lost_answers,
        seen.late_answers,
        seen.fills_before_answers,
        seen.timeouts_answered,
        seen.doubled_fills,
        seen.missed_fills,
        seen.cuts,
        seen.failed_asks,
        seen.amends,
        seen.amended,
    );
    world
}

fn check(world: &World) {
    assert_eq!(world.differences(), Vec::<String>::new());
    let longest = world.seen().longest_unknown_ns;
    assert!(longest <= UNKNOWN_NS_MAX, "an outcome stayed unknown for {longest} ns");
}

#[test]
fn without_faults_both_ends_agree() {
    let world = run(1, Odds::default(), 5_000);
    check(&world);
    // A cancel that loses to a fill is the only outcome that has to be asked for.
    let seen = world.seen();
    assert!(seen.fills > 1_000 && seen.unknown < 10 && seen.lost_answers == 0, "{seen:?}");
}

/// Everything goes wrong at the rates that reliability is stated for. `TICKPATH_SEEDS` asks for more runs of the volume.
#[test]
fn over_an_unreliable_network_both_ends_agree_to_the_last_unit() {
    let odds = Odds {
        lost: 0.05,
        late: 0.05,
        behind: 0.01,
        double: 0.01,
        missed: 0.001,
        timeout: 0.01,
        change: 0.2,
        rest_failure: 0.02,
        cut_every_s: 60,
        ..Odds::default()
    };
    let seeds = tickpath_tests::volume("TICKPATH_SEEDS", 1);
    for seed in 2..2 + seeds {
        let world = run(seed, odds, ORDERS);
        check(&world);
        let seen = world.seen();
        assert!(seen.lost_answers > ORDERS / 25 && seen.cuts > 20 && seen.doubled_fills > 100, "{seen:?}");
        // At each of these the trades told to the last units where the wallet's money had gone.
        println!("{} readings of the wallet", seen.wallets);
        assert!(seen.wallets > 20, "{seen:?}");
    }
}

/// A network that loses a third of the answers and breaks every few seconds.
#[test]
fn over_a_terrible_network_both_ends_still_agree() {
    let odds = Odds {
        lost: 0.3,
        late: 0.2,
        behind: 0.1,
        double: 0.2,
        missed: 0.02,
        timeout: 0.1,
        change: 0.3,
        rest_failure: 0.2,
        cut_every_s: 8,
        ..Odds::default()
    };
    let world = run(9, odds, 5_000);
    assert_eq!(world.differences(), Vec::<String>::new());
}

/// The kill word is set a thousand times, at any moment and over any network.
#[test]
fn a_thousand_kills_let_no_order_pass_and_leave_none_behind() {
    let odds = Odds { lost: 0.1, late: 0.1, cut_every_s: 30, kill_every_ms: 1_000, ..Odds::default() };
    let world = run(12, odds, 26_000);
    assert_eq!(world.differences(), Vec::<String>::new());
    let seen = world.seen();
    println!("{} kills", seen.kills);
    assert!(seen.kills >= 1_000, "{seen:?}");
    assert_eq!((seen.orders_while_killed, seen.left_by_kill), (0, 0), "{seen:?}");
}

/// Somebody else trades on the account a thousand times, with ids of any length: all of it counts.
#[test]
fn a_thousand_orders_of_others_are_adopted() {
    let odds = Odds { lost: 0.05, late: 0.05, cut_every_s: 60, foreign_every_ms: 300, ..Odds::default() };
    let world = run(13, odds, 16_000);
    check(&world);
    let seen = world.seen();
    println!("{} orders of others", seen.foreign);
    assert!(seen.foreign >= 1_000, "{seen:?}");
}

/// Stops rest at the venue for every position, whatever is lost on the way, and close it: both ends agree, and none is
/// left behind.
#[test]
fn stops_at_the_venue_go_with_their_positions() {
    let odds = Odds {
        lost: 0.05,
        late: 0.05,
        behind: 0.01,
        double: 0.01,
        missed: 0.001,
        timeout: 0.02,
        change: 0.2,
        cut_every_s: 60,
        pause_ms: 4_000,
        resting_stop_bps: 1,
        ..Odds::default()
    };
    let mut world = run(31, odds, 2_000);
    check(&world);
    let seen = world.seen();
    println!("{} stops reached", seen.stops_reached);
    assert!(seen.stops_reached > 10, "{seen:?}");
    assert_eq!(world.settle_stops(), None);
}

/// Pairs are opened and closed ten thousand times while orders are refused, filled in part, lost and late, and while
/// connections break: no leg stands alone for longer than stated while the venue answers.
#[test]
fn ten_thousand_pairs_leave_no_leg_alone() {
    let faults = [
        ("refused", Odds { reject: 0.2, ..Odds::default() }),
        ("lost and late", Odds { lost: 0.1, late: 0.1, timeout: 0.05, ..Odds::default() }),
        ("cuts", Odds { cut_every_s: 20, missed: 0.01, ..Odds::default() }),
        (
            "everything",
            Odds {
                lost: 0.05,
                late: 0.05,
                behind: 0.02,
                double: 0.05,
                missed: 0.005,
                timeout: 0.02,
                reject: 0.05,
                rest_failure: 0.02,
                cut_every_s: 60,
                ..Odds::default()
            },
        ),
    ];
    for (seed, (name, odds)) in (21..).zip(faults) {
        let mut world = World::with_legs(seed, odds, 2_500);
        let seen = world.run_legs(2_500);
        let of_world = world.seen();
        println!(
            "{name}: {} openings, {} undone, {} orders ({} refused, {} unknown), one leg alone {} times, for {} ms at most, {} times too long",
            seen.openings,
            seen.undone,
            of_world.orders,
            of_world.rejected,
            of_world.unknown,
            seen.uneven,
            seen.longest_ns / 1_000_000,
            seen.too_long
        );
        assert_eq!(seen.too_long, 0, "{name}: {seen:?}");
        assert!(seen.longest_ns <= legs::ALONE_NS_MAX, "{name}: {seen:?}");
        assert!(seen.openings >= 2_500 && seen.undone > 5 && seen.uneven > 30, "{name}: {seen:?}");
        assert_eq!(world.differences(), Vec::<String>::new(), "{name}");
    }
}
