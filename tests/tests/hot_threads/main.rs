//! The hot threads allocate nothing once they run: the real hot process in this process, over real sockets.
//! A test binary of its own, because a panic anywhere in a hot process aborts it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::print_stdout, reason = "a test says what it counted")]

#[cfg(target_env = "gnu")]
mod interpose;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tickpath_hotpath::{hot, strategy::Shipped};
use tickpath_shared::{
    command::CommandSender,
    counters::Counter,
    status::{LaneWord, StatusReader},
};
use tickpath_tests::{
    alloc,
    desk::{Desk, wait_for},
};
use tickpath_tools::{
    template::KeyFile,
    venue::{AccountStart, Faults, Limits, Market, Server, Speed, VenueOptions, generate_tls},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tickpath-under-test");

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

/// Messages before the count starts.
const WARM_UP: u64 = 50_000;
/// Messages that must pass without an allocation.
const WINDOW: u64 = 1_000_000;

/// Counters at one moment.
struct Moment {
    frames: u64,
    orders: u64,
    snapshots: u64,
    irregular: u64,
    segment: u64,
    allocations: u64,
}

fn moment(status: &StatusReader) -> Moment {
    let bytes = status.lane(1, LaneWord::Position);
    Moment {
        frames: status.counter(Counter::Frames),
        orders: status.counter(Counter::OrdersSent),
        snapshots: status.counter(Counter::Snapshots),
        irregular: status.counter(Counter::FallbackFrames),
        segment: bytes / status.lane(1, LaneWord::SegmentBytes).max(1),
        allocations: alloc::allocations(),
    }
}

/// One after the other: the allocator watches this process's threads by name.
#[test]
fn hot_threads_allocate_nothing_over_a_million_messages() {
    for is_tls in [false, true] {
        run(is_tls);
    }
}

fn run(is_tls: bool) {
    let dir = tempfile::tempdir().unwrap();
    let tls = is_tls.then(|| generate_tls(dir.path()).unwrap());
    let mut environment = Desk::busy();
    environment.extend([("TICKPATH__JOURNAL__OVERLOAD", "stall"), ("TICKPATH__PAIRS__LEG_TIMEOUT_MS", "10")]);
    let desk = match &tls {
        Some(tls) => Desk::with_tls(dir.path(), PROGRAM, &environment, tls).unwrap(),
        None => Desk::new(dir.path(), PROGRAM, &environment).unwrap(),
    };
    let keys = KeyFile::load(&dir.path().join("secrets/venue_keys.json")).unwrap();
    let faults = Faults { drop: 2e-5, irregular: 1e-4, seed: 5, ..Faults::default() }.plan();
    let options = VenueOptions {
        listen: desk.venue,
        market: Market::Synthetic { seed: 5 },
        speed: Speed::Max,
        keys,
        tls,
        faults,
        is_looped: false,
        limits: Limits::NONE,
        account: AccountStart { balance_e8: 1_000_000_000_000_000, ..AccountStart::default() },
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (venue_stop, hot_stop) = (Arc::clone(&stop), Arc::clone(&stop));
    let mut server = Server::new(options).unwrap();
    let venue =
        std::thread::spawn(move || server.run_with(|_| venue_stop.load(Ordering::Relaxed)).map(|_| ()));
    let (data, config) = (desk.data.clone(), desk.config().unwrap());
    let hot =
        std::thread::spawn(move || hot::run::<Shipped>(&data, &config, || hot_stop.load(Ordering::Relaxed)));
    wait_for("the session", || desk.status().is_ok()).unwrap();
    let shared = desk.data.current_session().unwrap().unwrap().shared_dir;
    let (archiver, archiver_stop) = (acknowledger(&shared), Arc::clone(&stop));
    let archiver = std::thread::spawn(move || archiver(&archiver_stop));
    let status = desk.status().unwrap();
    wait_for("the warm-up", || {
        status.counter(Counter::Frames) > WARM_UP && status.counter(Counter::Fills) > 20
    })
    .unwrap();
    assert_eq!(alloc::watch(&["feed", "engine", "gateway"]), 1, "all stages are fused on one thread");
    let before = moment(&status);
    let deadline = std::time::Instant::now() + Duration::from_secs(600);
    let is_done = |m: &Moment| {
        m.frames - before.frames >= WINDOW
            && m.orders - before.orders >= 1000
            && m.snapshots > before.snapshots
    };
    let after = loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = moment(&status);
        if is_done(&now) || std::time::Instant::now() > deadline {
            break now;
        }
    };
    stop.store(true, Ordering::Relaxed);
    hot.join().unwrap().unwrap();
    venue.join().unwrap().unwrap();
    archiver.join().unwrap();
    let (frames, orders) = (after.frames - before.frames, after.orders - before.orders);
    println!(
        "{}: {frames} messages, {orders} orders, {} resyncs, {} irregular, {} segment changes: {} allocations",
        if is_tls { "TLS" } else { "plain" },
        after.snapshots - before.snapshots,
        after.irregular - before.irregular,
        after.segment - before.segment,
        after.allocations - before.allocations
    );
    assert!(frames >= WINDOW && orders >= 1000, "{frames} messages, {orders} orders");
    assert!(
        after.snapshots > before.snapshots
            && after.irregular > before.irregular
            && after.segment > before.segment
    );
    assert_eq!(after.allocations - before.allocations, 0);
}

/// Acknowledges whatever is published, in place of an archiver.
fn acknowledger(shared: &std::path::Path) -> impl FnOnce(&AtomicBool) + Send + 'static {
    let command = CommandSender::open(&shared.join("command")).unwrap();
    let status = StatusReader::open(&shared.join("status")).unwrap();
    move |stop| {
        while !stop.load(Ordering::Relaxed) {
            (0..4).for_each(|lane| command.acknowledge(lane, status.lane(lane, LaneWord::Position)));
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
