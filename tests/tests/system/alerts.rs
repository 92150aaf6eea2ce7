//! What people are told of: within seconds, with an entry in the runbook, and at no cost to trading.

use crate::PROGRAM;
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tickpath_control::alert::RULES;
use tickpath_shared::{counters::Counter, paths::replace_file};
use tickpath_tests::{
    desk::{Desk, wait_for},
    http::{get, send},
    root,
};

#[test]
fn every_alert_is_in_the_runbook_and_the_reverse() {
    let text = std::fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let mut told: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut rules: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    told.sort_unstable();
    rules.sort_unstable();
    assert_eq!(told, rules);
}

/// A receiver of messages; the first answers are those that it is given.
fn receiver(first: Vec<&'static str>) -> (SocketAddr, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let keep = Arc::clone(&heard);
    std::thread::spawn(move || {
        let mut answers = first.into_iter();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut bytes, mut chunk) = (Vec::new(), [0; 2048]);
            while !bytes.ends_with(b"}") {
                match stream.read(&mut chunk).unwrap() {
                    0 => break,
                    read => bytes.extend_from_slice(&chunk[..read]),
                }
            }
            let status = answers.next().unwrap_or("200 OK");
            let end = "Content-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(format!("HTTP/1.1 {status}\r\n{end}").as_bytes()).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let body = text.split_once("\r\n\r\n").unwrap().1;
            if status.starts_with('2') {
                keep.lock().unwrap().push(serde_json::from_str(body).unwrap());
            }
        }
    });
    (address, heard)
}

fn names(desk: &Desk, list: &str) -> Vec<String> {
    let Ok((200, text)) = get(desk.control, "/api/v1/alerts") else { return Vec::new() };
    let alerts: Value = serde_json::from_str(&text).unwrap();
    alerts[list].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap().to_owned()).collect()
}

/// Waits until an alert is listed and returns how long that took.
fn listed(desk: &Desk, list: &str, name: &str) -> Duration {
    let from = Instant::now();
    wait_for(name, || names(desk, list).iter().any(|of| of == name)).unwrap();
    from.elapsed()
}

fn desk_that_tells(dir: &std::path::Path, receiver: SocketAddr, further: &[(&str, &str)]) -> Desk {
    let address = format!("http://{receiver}/hooks/very-secret-path\n");
    replace_file(&dir.join("notify.url"), address.as_bytes()).unwrap();
    let told = [("TICKPATH__NOTIFY__URL_FILE", "notify.url"), ("TICKPATH__ALERT__OUTAGE_S_MAX", "2")];
    let mut desk = Desk::new(dir, PROGRAM, &[&Desk::busy()[..], &told, further].concat()).unwrap();
    desk.start_venue(&["--seed", "61"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 3).unwrap();
    desk
}

/// A kill and a lost venue are told within five seconds each, once, and their ends too; the receiver's address stands
/// nowhere.
#[test]
fn a_kill_and_a_lost_venue_are_told_once_with_their_ends() {
    let (address, heard) = receiver(vec!["503 Busy"]);
    let dir = tempfile::tempdir().unwrap();
    let mut desk = desk_that_tells(dir.path(), address, &[]);
    assert_eq!(desk.run_here(&["kill"]).unwrap().0, 0);
    let killed = listed(&desk, "active", "kill_switch");
    let (_, metrics) = get(desk.control, "/metrics").unwrap();
    assert!(metrics.contains("tickpath_alert{name=\"kill_switch\",severity=\"critical\"} 1"), "{metrics}");
    assert_eq!(desk.run_here(&["arm", "--clear-kill"]).unwrap().0, 0);
    listed(&desk, "ended", "kill_switch");
    desk.stop_venue();
    let lost = listed(&desk, "active", "link_lost");
    listed(&desk, "active", "book_invalid");
    println!("told after {killed:?} (kill) and {lost:?} (venue lost, which must last 2 s)");
    assert!(killed < Duration::from_secs(5) && lost < Duration::from_secs(7));
    let of = |name: &str, state: &str| {
        let heard = heard.lock().unwrap();
        heard.iter().filter(|body| body["alert"] == name && body["state"] == state).count()
    };
    wait_for("messages", || of("link_lost", "began") == 1 && of("book_invalid", "began") == 1).unwrap();
    assert_eq!(
        (of("kill_switch", "began"), of("kill_switch", "ended")),
        (1, 1),
        "{:?}",
        heard.lock().unwrap()
    );
    let told = heard.lock().unwrap().iter().find(|body| body["alert"] == "kill_switch").unwrap().clone();
    assert!(told["runbook"] == "/runbook.md#kill_switch" && told["mode"] == "simulation", "{told}");
    assert!(get(desk.control, "/runbook.md").unwrap().1.contains("## kill_switch"));
    let log = std::fs::read_to_string(dir.path().join("logs/control.jsonl")).unwrap();
    assert!(log.contains("kill_switch") && !log.contains("very-secret-path"));
    let shown = get(desk.control, "/api/v1/config").unwrap().1;
    assert!(!shown.contains("very-secret-path"));
    desk.stop().unwrap();
}

/// A receiver that takes connections and never answers: its messages are dropped and counted, and everything else goes on.
#[test]
fn a_dead_receiver_touches_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let few = [("TICKPATH__NOTIFY__QUEUE_MAX", "1"), ("TICKPATH__NOTIFY__SEVERITY", "info")];
    let mut desk = desk_that_tells(dir.path(), silent.local_addr().unwrap(), &few);
    for _ in 0..2 {
        assert_eq!(desk.run_here(&["kill"]).unwrap().0, 0);
        listed(&desk, "active", "kill_switch");
        assert_eq!(desk.run_here(&["arm", "--clear-kill"]).unwrap().0, 0);
        wait_for("its end", || !names(&desk, "active").contains(&"kill_switch".to_owned())).unwrap();
    }
    wait_for("messages to be dropped", || {
        get(desk.control, "/metrics").is_ok_and(|(_, text)| {
            let line =
                text.lines().find(|l| l.starts_with("tickpath_notifications_total{outcome=\"dropped\"}"));
            line.is_some_and(|line| !line.ends_with(" 0"))
        })
    })
    .unwrap();
    let orders = desk.counter(Counter::OrdersSent);
    desk.wait_for_counter(Counter::OrdersSent, orders + 3).unwrap();
    assert_eq!(desk.stop().unwrap(), 0);
}

/// Lines of both processes stand in a file and in a list, with the request that caused them; metrics are kept over time.
/// Files that are not there keep the journal from nothing: people are told, and what they are for is refused.
#[test]
fn what_can_be_done_without_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut environment = Desk::busy();
    environment.extend([
        ("TICKPATH__CONTROL__WEBHOOK_SECRET_FILE", "nowhere/webhook"),
        ("TICKPATH__CONTROL__JWT_SECRET_FILE", "nowhere/jwt"),
        ("TICKPATH__CONTROL__JWT_ISSUER", "desk"),
        ("TICKPATH__NOTIFY__URL_FILE", "nowhere/url"),
    ]);
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&["--seed", "97"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Fills, 2).unwrap();
    wait_for("the alert", || {
        get(desk.control, "/api/v1/alerts").is_ok_and(|(_, text)| {
            let files = ["nowhere/webhook", "nowhere/jwt", "nowhere/url"];
            text.contains("control_degraded") && files.iter().all(|file| text.contains(file))
        })
    })
    .unwrap();
    let alert = r#"{"secret":"x","time":"2026-01-01T00:00:00Z","action":"buy","ticker":"BTCUSDT"}"#;
    let (status, text) = send(desk.control, "POST", "/api/v1/webhook/tradingview", alert).unwrap();
    assert!(status == 404 && text.contains("no alerts are taken here"), "{status} {text}");
    assert_eq!(desk.stop().unwrap(), 0);
}

#[test]
fn what_happened_can_be_asked_for_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--seed", "62"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Fills, 3).unwrap();
    let ask = |path: &str| -> Value {
        let (status, text) = get(desk.control, path).unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    };
    let rows = |query: &str| ask(&format!("/api/v1/logs?{query}"))["rows"].as_array().unwrap().clone();
    wait_for("lines of both", || {
        ["tickpath-control", "tickpath-hot"]
            .iter()
            .all(|service| !rows(&format!("service={service}")).is_empty())
    })
    .unwrap();
    let hot = rows("service=tickpath-hot&limit=1000");
    let started = hot.iter().find(|line| line["target"] == "tickpath_hot::started").unwrap();
    assert!(started["level"] == "info" && !started["message"].as_str().unwrap().is_empty(), "{started}");
    let of_it = rows(&format!("correlation_id={}", started["correlation_id"].as_str().unwrap()));
    assert_eq!(of_it.len(), 1, "session, lane and sequence are one record's");
    let text = std::fs::read_to_string(dir.path().join("logs/control.jsonl")).unwrap();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let names = ["timestamp", "level", "target", "message", "service", "version", "mode", "instance"];
        assert!(names.iter().all(|name| line[name].is_string()), "{line}");
    }
    assert!(text.contains("control process ready") && text.contains("tickpath_hot::started"));
    // The second look at the metrics, fifteen seconds after the first one, has latencies.
    let query =
        |query: &str| ask(&format!("/api/v1/metrics/query?{query}"))["series"].as_array().unwrap().clone();
    wait_for("latencies", || !query("name=stage_seconds&labels=tick_to_trade&aggregation=max").is_empty())
        .unwrap();
    let fills = query("name=fills_total&aggregation=max");
    assert!(fills[0]["points"][0]["value"].as_f64().unwrap() >= 3.0, "{fills:?}");
    assert_eq!(query("name=instrument_mark_price&aggregation=count").len(), 2, "one an instrument");
    let p99 = query(
        "name=stage_seconds&labels=stage%3D%22tick_to_trade%22%2Cquantile%3D%220.99%22&aggregation=p50&step_s=60",
    );
    assert!(p99.len() == 1 && p99[0]["points"][0]["value"].as_f64().unwrap() > 0.0, "{p99:?}");
    assert_eq!(get(desk.control, "/api/v1/metrics/query?name=x&range_s=0").unwrap().0, 400);
    assert_eq!(desk.stop().unwrap(), 0);
}
