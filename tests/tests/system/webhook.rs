//! Alerts from outside over real sockets: one alert, one intent.

use crate::PROGRAM;
use serde_json::{Value, json};
use std::{
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tickpath_control::audit::AuditLog;
use tickpath_shared::{
    counters::Counter,
    record::{IntentRecord, Kind, ParameterRecord},
    status::InstrumentWord,
};
use tickpath_tests::{
    desk::{Desk, wait_for},
    http,
};
use tickpath_tools::offline::journal::{self, Filter};

const SECRET: &str = "fc1b9f6f4b0f4c5e9a8d7c6b5a493827";
/// An address of TradingView.
const GOOD: &str = "52.89.214.238";
/// Requests of the burst.
const BURST: usize = 1_000;
const THREADS: usize = 8;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// RFC 3339 of unix milliseconds.
fn text(ms: i64) -> String {
    let (days, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Days to a date, after Howard Hinnant's civil_from_days.
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, s, f) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{f:03}Z")
}

fn alert(action: &str, time_ms: i64) -> Value {
    json!({"secret": SECRET, "time": text(time_ms), "action": action, "ticker": "BTCUSDT.P"})
}

/// Sends a body as TradingView does, from an address behind a proxy; the status.
fn send(desk: &Desk, from: &str, body: &str) -> u16 {
    let request = format!(
        "POST /api/v1/webhook/tradingview HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         X-Forwarded-For: {from}\r\nContent-Length: {}\r\n\r\n{body}",
        desk.control,
        body.len()
    );
    let answer = http::raw(desk.control, request.as_bytes()).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn one_alert_is_at_most_one_intent() {
    let dir = tempfile::tempdir().unwrap();
    let environment = [
        ("TICKPATH__PAIRS__IS_ENABLED", "false"),
        ("TICKPATH__SIGNAL_FOLLOW__IS_ENABLED", "true"),
        ("TICKPATH__CONTROL__BEHIND_PROXY", "true"),
        ("TICKPATH__CONTROL__OPEN_READS", "false"),
        ("TICKPATH__CONTROL__WEBHOOK_SECRET_FILE", "secrets/webhook"),
    ];
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    let file = desk.data.root().join("secrets/webhook");
    std::fs::write(&file, SECRET).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (code, text) = desk.run_here(&["token", "create", "--name", "x", "--role", "viewer"]).unwrap();
    assert_eq!(code, 0, "{text}");
    desk.start_venue(&["--seed", "61"]).unwrap();
    desk.start().unwrap();
    wait_for("the account", || desk.status().is_ok_and(|s| s.is_reconciled())).unwrap();
    let position = || desk.status().map_or(0, |status| status.instrument(0, InstrumentWord::Position));

    let now = now_ms();
    let buy = alert("buy", now).to_string();
    assert_eq!(send(&desk, GOOD, &buy), 202);
    wait_for("the position", || position() > 0).unwrap_or_else(|e| {
        panic!(
            "{e}: {:?} {}",
            desk.run_here(&["audit"]),
            desk.run_here(&["why"]).map_or(String::new(), |(_, t)| t)
        )
    });
    let held = position();
    nothing_else_is_taken(&desk, &buy, now);
    assert_eq!(position(), held, "none of them did anything");

    let sell = alert("sell", now_ms()).to_string();
    let taken = storm(&desk, &sell);
    assert_eq!(taken, 1);
    wait_for("the other side", || position() == -held).unwrap();
    assert_eq!(desk.counter(Counter::PositionMismatches), 0);
    assert_eq!(desk.stop().unwrap(), 0);

    assert_eq!(recorded(&desk), (2, 2), "one each for the two alerts that were taken");
    let log = AuditLog::open(&desk.data.audit("simulation")).unwrap();
    let rows = log.rows(i64::MAX, 100).unwrap();
    let done = rows.iter().filter(|row| row.who == "webhook" && row.outcome == "done").count();
    assert_eq!((done, log.verify().unwrap()), (2, Ok(rows.len() as i64)));
    the_secret_is_nowhere(&desk);
}

/// Signals that the engine has taken, and intents that open something.
fn recorded(desk: &Desk) -> (u32, u32) {
    let (mut signals, mut openings) = (0, 0);
    let filter = Filter { session: None, lane: None, kind: None };
    journal::cat(&desk.data, &filter, |record| match record.kind() {
        Some(Kind::Parameter) => {
            signals += u32::from(record.body::<ParameterRecord>().unwrap().is_taken == 1)
        }
        Some(Kind::Intent) => {
            openings += u32::from(record.body::<IntentRecord>().unwrap().is_reduce_only == 0)
        }
        _ => {}
    })
    .unwrap();
    (signals, openings)
}

fn nothing_else_is_taken(desk: &Desk, buy: &str, now: i64) {
    let wrong = |change: fn(&mut Value)| {
        let mut body = alert("sell", now_ms());
        change(&mut body);
        body.to_string()
    };
    let cases = [
        ("replayed", GOOD, buy.to_owned(), 409),
        ("reordered", GOOD, alert("sell", now - 1_000).to_string(), 409),
        ("old", GOOD, alert("sell", now - 120_000).to_string(), 409),
        ("from the future", GOOD, alert("sell", now + 60_000).to_string(), 409),
        ("another address", "52.89.214.239", wrong(|_| {}), 403),
        ("another secret", GOOD, wrong(|b| b["secret"] = "guessed".into()), 401),
        ("no secret", GOOD, wrong(|b| b["secret"] = Value::Null), 400),
        ("another instrument", GOOD, wrong(|b| b["ticker"] = "ETHUSDT.P".into()), 400),
        ("no action", GOOD, wrong(|b| b["action"] = "hold".into()), 400),
        ("both", GOOD, wrong(|b| b["signal"] = 0.5.into()), 400),
        ("too much", GOOD, json!({"secret": SECRET, "time": text(now_ms()), "signal": 1.5}).to_string(), 400),
        ("no time", GOOD, wrong(|b| b["time"] = "yesterday".into()), 400),
        ("unknown member", GOOD, wrong(|b| b["leverage"] = 100.into()), 400),
        ("no JSON", GOOD, "BTCUSDT crossing 60000".to_owned(), 400),
        ("nothing", GOOD, String::new(), 400),
    ];
    for (what, from, body, status) in &cases {
        assert_eq!(send(desk, from, body), *status, "{what}: {body}");
    }
}

/// The same alert a thousand times, in eight threads, from where it may come and from as many addresses as a botnet has;
/// returns how often it was taken.
fn storm(desk: &Desk, body: &str) -> usize {
    let taken = AtomicUsize::new(0);
    let send_all = &|thread: usize| -> Vec<Duration> {
        (0..BURST / THREADS)
            .map(|i| {
                let from = if i % 2 == 0 { GOOD.to_owned() } else { format!("10.7.{thread}.{i}") };
                let start = Instant::now();
                taken.fetch_add(usize::from(send(desk, &from, body) == 202), Ordering::Relaxed);
                start.elapsed()
            })
            .collect()
    };
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || send_all(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    took.sort_unstable();
    let taken = taken.into_inner();
    println!("{BURST} requests: {taken} taken, p50 {:?}, p99 {:?}", took[BURST / 2], took[BURST * 99 / 100]);
    taken
}

/// Not in logs, databases, archives, nor in what the processes have told.
fn the_secret_is_nowhere(desk: &Desk) {
    let mut looked_at = 0;
    let mut folders = vec![desk.data.root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.extend((!path.ends_with("secrets")).then_some(path));
                continue;
            }
            let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { continue };
            let is_there = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!is_there, "{}", path.display());
            looked_at += 1;
        }
    }
    println!("{looked_at} files without the secret");
    assert!(looked_at > 8);
}
