//! What the hot thread asks of the kernel once it runs: the socket's receive and send and the yield of its wait
//! strategy, and no page that is not there yet, however many people look on over HTTP. Seen from outside, by strace and
//! by the kernel's own counts.

use crate::PROGRAM;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tickpath_shared::counters::Counter;
use tickpath_tests::{desk::Desk, http, skipped};

/// Messages under watch.
const MESSAGES: u64 = 100_000;
/// Readers of events beside it, and pause between two requests.
const READERS: usize = 50;
const REQUEST_EVERY: Duration = Duration::from_millis(10);

/// What those who look on have got.
#[derive(Default)]
struct Audience {
    is_over: AtomicBool,
    event_bytes: AtomicU64,
    requests: AtomicU64,
}

impl Audience {
    /// Reads events over many connections.
    fn listen(&self, control: SocketAddr) {
        let mut readers: Vec<TcpStream> = (0..READERS)
            .map(|_| {
                let mut stream = TcpStream::connect(control).unwrap();
                write!(stream, "GET /api/v1/stream HTTP/1.1\r\nHost: {control}\r\n\r\n").unwrap();
                stream.set_nonblocking(true).unwrap();
                stream
            })
            .collect();
        let mut bytes = [0; 65_536];
        while !self.is_over.load(Ordering::Relaxed) {
            for reader in &mut readers {
                if let Ok(read) = reader.read(&mut bytes) {
                    assert!(read > 0, "a reader was let go");
                    self.event_bytes.fetch_add(read as u64, Ordering::Relaxed);
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks for this and that.
    fn ask(&self, control: SocketAddr) {
        const PATHS: [&str; 4] = ["/health/state", "/api/v1/fills", "/api/v1/latency", "/metrics"];
        for path in PATHS.iter().cycle() {
            let start = Instant::now();
            assert_eq!(http::get(control, path).unwrap().0, 200, "{path}");
            self.requests.fetch_add(1, Ordering::Relaxed);
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(REQUEST_EVERY.saturating_sub(start.elapsed()));
        }
    }

    /// Runs `watched` before an audience.
    fn before<T>(&self, control: SocketAddr, watched: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            scope.spawn(|| self.listen(control));
            scope.spawn(|| self.ask(control));
            let result = watched();
            self.is_over.store(true, Ordering::Relaxed);
            result
        })
    }
}

impl std::fmt::Display for Audience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [requests, bytes] = [&self.requests, &self.event_bytes].map(|n| n.load(Ordering::Relaxed));
        write!(f, "{requests} requests and {bytes} bytes of events to {READERS} readers meanwhile")
    }
}

/// Thread of a process that holds the hot stages.
fn hot_thread(pid: u32) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let found = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        name.starts_with("feed").then(|| task.file_name().to_str()?.parse().ok())?
    });
    found.into_iter().next().unwrap()
}

/// Minor and major page faults of a thread so far.
fn page_faults(pid: u32, thread: u32) -> [u64; 2] {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat")).unwrap();
    // Behind the name in parentheses: state, parent, .., minor, minor of children, major.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [7, 9].map(|field| fields[field].parse().unwrap())
}

fn running_desk(dir: &std::path::Path) -> Desk {
    let mut environment = Desk::busy();
    environment.push(("TICKPATH__PAIRS__LEG_TIMEOUT_MS", "10"));
    let mut desk = Desk::new(dir, PROGRAM, &environment).unwrap();
    desk.start_venue(&["--speed", "max"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Frames, 50_000).unwrap();
    desk.wait_for_counter(Counter::Fills, 20).unwrap();
    desk
}

#[test]
fn the_hot_thread_only_receives_sends_and_yields() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        return skipped::<()>("strace").unwrap_or_default();
    }
    let dir = tempfile::tempdir().unwrap();
    let mut desk = running_desk(dir.path());
    let pid = desk.child("hot").unwrap();
    let thread = hot_thread(pid);
    let trace = dir.path().join("strace.out");
    let mut strace = Command::new("strace")
        .args(["-qq", "-p", &thread.to_string(), "-o", trace.to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (frames, orders) = (desk.counter(Counter::Frames), desk.counter(Counter::OrdersSent));
    let audience = Audience::default();
    audience.before(desk.control, || desk.wait_for_counter(Counter::Frames, frames + MESSAGES)).unwrap();
    let orders = desk.counter(Counter::OrdersSent) - orders;
    tickpath_tests::desk::signal(strace.id(), rustix::process::Signal::INT);
    strace.wait().unwrap();
    desk.stop().unwrap();
    let text = fs::read_to_string(&trace).unwrap();
    let mut calls = BTreeMap::<&str, u64>::new();
    for call in text.lines().filter_map(|line| line.split_once('(').map(|(call, _)| call)) {
        *calls.entry(call).or_default() += 1;
    }
    println!("{MESSAGES} messages, {orders} orders: {calls:?}; {audience}");
    let allowed = ["recvfrom", "sendto", "sched_yield"];
    let others: Vec<_> = calls.keys().filter(|call| !allowed.contains(call)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(calls.values().sum::<u64>() > 1_000 && orders > 0);
    assert!(audience.requests.into_inner() > 50 && audience.event_bytes.into_inner() > 100_000);
}

#[test]
fn the_hot_thread_meets_no_page_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = running_desk(dir.path());
    let pid = desk.child("hot").unwrap();
    let thread = hot_thread(pid);
    let (before, frames) = (page_faults(pid, thread), desk.counter(Counter::Frames));
    let audience = Audience::default();
    audience.before(desk.control, || desk.wait_for_counter(Counter::Frames, frames + MESSAGES)).unwrap();
    let after = page_faults(pid, thread);
    desk.stop().unwrap();
    println!("page faults over {MESSAGES} messages: {before:?} -> {after:?}; {audience}");
    assert_eq!(after, before);
}
