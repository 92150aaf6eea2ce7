//! The operator's page in a real browser.

use crate::PROGRAM;
use rustix::process::Signal;
use tickpath_control::{
    audit::AuditLog,
    auth::{NewToken, Role, TokenFile},
};
use tickpath_shared::{counters::Counter, types::TradingState};
use tickpath_tests::{
    browser::Browser,
    desk::{Desk, signal, wait_for},
    http,
};

/// Everything the page is made of, bytes.
const PAGE_BYTES_MAX: usize = 300 * 1024;

/// Presses a button and says yes, by the keyboard as people do.
fn press(browser: &mut Browser, act: &str) {
    browser.value(&format!("document.querySelector('[data-act={act}]').click()")).unwrap();
    browser.wait_for("document.getElementById('dialog').open").unwrap();
    browser.value("document.getElementById('reason').focus()").unwrap();
    browser.value("document.getElementById('reason').value = 'a test'").unwrap();
    browser.enter().unwrap();
    browser.wait_for("!document.getElementById('dialog').open").unwrap();
}

fn shows(browser: &mut Browser, state: &str) {
    browser.wait_for(&format!("document.getElementById('trading').textContent === '{state}'")).unwrap();
}

#[test]
fn an_operator_watches_and_steers_on_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let profile = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start(profile.path()).unwrap() else { return };
    let mut environment = Desk::busy();
    environment.push(("TICKPATH__SUPERVISOR__STALL_MS", "60000"));
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&["--seed", "31"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Fills, 4).unwrap();
    let new = NewToken { name: "eva", role: Role::Admin, expires_unix_s: None };
    let token = TokenFile::new(&desk.data).create(&new, 0).unwrap();
    browser.open(&format!("http://{}/#token={token}", desk.control)).unwrap();

    shows(&mut browser, "armed");
    browser.wait_for("document.querySelectorAll('#instruments tbody tr').length === 2").unwrap();
    browser.wait_for("document.querySelectorAll('#fills tbody tr').length >= 4").unwrap();
    browser.wait_for("document.querySelectorAll('#latency canvas, #equity canvas').length === 2").unwrap();
    browser.wait_for("charts.latency.data[0].length >= 2").unwrap();
    assert_eq!(
        browser.value("location.hash + location.search").unwrap(),
        "",
        "the token stands in no address"
    );
    let asked = "performance.getEntriesByName(location.origin + '/health/state').length";
    browser.wait_for(&format!("{asked} >= 10")).unwrap();
    let rate = "new Promise(done => { performance.clearResourceTimings(); setTimeout(() => done(performance\
                .getEntriesByName(location.origin + '/health/state').length / 4), 4000) })";
    println!("{} updates a second", browser.value(rate).unwrap());

    let state = |wanted: TradingState| {
        wait_for("the engine's state", || desk.status().is_ok_and(|s| s.trading_state() == wanted)).unwrap();
    };
    press(&mut browser, "disarm");
    state(TradingState::Disarmed);
    shows(&mut browser, "disarmed");
    press(&mut browser, "arm");
    state(TradingState::Armed);
    press(&mut browser, "kill");
    wait_for("the kill word", || desk.status().is_ok_and(|s| s.kill_seen().is_some())).unwrap();
    shows(&mut browser, "KILLED");
    // The same button releases the latch first, and arms when it is pressed again.
    press(&mut browser, "arm");
    shows(&mut browser, "disarmed");
    press(&mut browser, "arm");
    shows(&mut browser, "armed");

    // Second thoughts: nothing happens.
    browser.value("document.querySelector('[data-act=kill]').click()").unwrap();
    browser.wait_for("document.getElementById('dialog').open").unwrap();
    browser.value("document.getElementById('dialog_cancel').click()").unwrap();
    browser.wait_for("!document.getElementById('dialog').open").unwrap();

    let log = AuditLog::open(&desk.data.audit("simulation")).unwrap();
    let rows = log.rows(i64::MAX, 100).unwrap();
    let done: Vec<&str> = rows
        .iter()
        .rev()
        .filter(|row| row.outcome == "done" && row.who == "eva" && row.detail.contains("a test"))
        .filter_map(|row| row.action.rsplit('/').next())
        .collect();
    assert_eq!(done, ["disarm", "arm", "kill", "clear-kill", "arm"]);
    assert_eq!(log.verify().unwrap(), Ok(rows.len() as i64));

    let foreign =
        "performance.getEntriesByType('resource').filter(r => !r.name.startsWith(location.origin)).length";
    assert_eq!(browser.value(foreign).unwrap(), 0, "everything comes from here");
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    let size: usize = ["/", "/app.js", "/style.css", "/uplot.js", "/uplot.css"]
        .iter()
        .map(|path| http::get(desk.control, path).unwrap().1.len())
        .sum();
    println!("{size} bytes");
    assert!(size <= PAGE_BYTES_MAX, "{size} bytes");

    // A hot process that hangs is not shown as if it were well.
    let hot = desk.child("hot").unwrap();
    signal(hot, Signal::STOP);
    browser.wait_for("document.getElementById('fresh').textContent.includes('made no turn')").unwrap();
    signal(hot, Signal::CONT);
    browser.wait_for("!document.getElementById('fresh').textContent.includes('made no turn')").unwrap();

    browser.open(&format!("http://{}/docs", desk.control)).unwrap();
    browser.wait_for("document.querySelectorAll('#routes section').length > 30").unwrap();
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    assert_eq!(desk.stop().unwrap(), 0);
}
