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
    http::get,
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
    let told = heard.lock().unwrap()[0].clone();
    assert!(told["runbook"] == "/runbook.md#kill_switch" && told["mode"] == "simulation", "{told}");
    assert!(get(desk.control, "/runbook.md").unwrap().1.contains("## kill_switch"));
    let log = std::fs::read_to_string(dir.path().join("logs/control.log")).unwrap();
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
