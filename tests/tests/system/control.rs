//! Who may do what over HTTP, and what becomes of it.

use crate::PROGRAM;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey, pkcs8::EncodePublicKey};
use hmac::{Hmac, KeyInit, Mac};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::Sha256;
use std::{collections::BTreeSet, process::Command, time::Duration};
use tickpath_control::{
    api::{Method, ROUTES, Route},
    audit::AuditLog,
    auth::{NewToken, Role, TokenFile},
};
use tickpath_shared::{clock::unix_ns_now, counters::Counter, paths::replace_file, types::TradingState};
use tickpath_tests::{
    desk::{Desk, signal, wait_for},
    http,
    python::with_packages,
};

/// Every request comes from an address of its own, as through a proxy, so that no limit of addresses is met.
struct Clients<'a> {
    desk: &'a Desk,
    asked: std::cell::Cell<u32>,
}

impl<'a> Clients<'a> {
    fn new(desk: &'a Desk) -> Self {
        Self { desk, asked: std::cell::Cell::new(0) }
    }

    fn ask(&self, method: &str, path: &str, authorization: Option<&str>, body: &str) -> (u16, String) {
        let number = self.asked.replace(self.asked.get() + 1);
        let client = format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
        let mut headers = vec![("X-Forwarded-For", client.as_str())];
        headers.extend(authorization.map(|value| ("Authorization", value)));
        http::call(self.desk.control, method, path, &headers, body).unwrap()
    }

    /// A change by a token; status and answer.
    fn change(&self, verb: &str, token: &str, body: &Value) -> (u16, Value) {
        let path = format!("/api/v1/control/{verb}");
        let (status, text) = self.ask("POST", &path, Some(token), &body.to_string());
        (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{verb}: {e}: {text}")))
    }
}

fn desk_behind_proxy(dir: &std::path::Path) -> Desk {
    let mut environment = Desk::busy();
    environment.push(("TICKPATH__CONTROL__BEHIND_PROXY", "true"));
    environment.push(("TICKPATH__CONTROL__OPEN_READS", "false"));
    let desk = Desk::new(dir, PROGRAM, &environment).unwrap();
    // Without a token the interface does not open at all.
    token(&desk, Role::Viewer, None);
    desk
}

fn token(desk: &Desk, role: Role, expires_unix_s: Option<u64>) -> String {
    let name = if expires_unix_s.is_some() { format!("late-{role}") } else { role.label().to_owned() };
    let file = TokenFile::new(&desk.data);
    let _ = file.revoke(&name);
    format!("Bearer {}", file.create(&NewToken { name: &name, role, expires_unix_s }, 0).unwrap())
}

const SECRET: &str = "the secret of the tokens that are signed here";

fn now_s() -> u64 {
    unix_ns_now() / 1_000_000_000
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// A desk that takes tokens of both algorithms.
fn desk_with_web_tokens(dir: &std::path::Path) -> Desk {
    let mut desk = desk_behind_proxy(dir);
    let public = signing_key().verifying_key().to_public_key_pem(Default::default()).unwrap();
    for (name, text) in [("jwt", SECRET), ("jwt.pem", public.as_str())] {
        replace_file(&dir.join(name), text.as_bytes()).unwrap();
    }
    for (name, value) in [("SECRET_FILE", "jwt"), ("PUBLIC_KEY_FILE", "jwt.pem"), ("ISSUER", "desk")] {
        desk.environment.push((format!("TICKPATH__CONTROL__JWT_{name}"), value.to_owned()));
    }
    desk
}

/// JSON Web Tokens as headers with what they open.
fn web_tokens(now: u64) -> Vec<(Option<String>, Role)> {
    let token = |alg: &str, change: &dyn Fn(&mut Value), sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let mut claims = json!({"iss": "desk", "aud": "tickpath", "sub": "anna", "role": "admin", "jti": "1",
                                "iat": now, "exp": now + 3_600});
        change(&mut claims);
        // Changes are limited by name.
        claims["sub"] = json!(format!("{alg}-{}", claims["role"].as_str().unwrap()));
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!(
            "{}.{}",
            part(format!("{{\"alg\":\"{alg}\"}}").as_bytes()),
            part(claims.to_string().as_bytes())
        );
        Some(format!("Bearer {signed}.{}", part(&sign(signed.as_bytes()))))
    };
    let hmac = |secret: Vec<u8>| {
        move |signed: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
            mac.update(signed);
            mac.finalize().into_bytes().to_vec()
        }
    };
    let ours = hmac(SECRET.as_bytes().to_vec());
    let by_key = |signed: &[u8]| signing_key().sign(signed).to_vec();
    let public = signing_key().verifying_key().to_public_key_pem(Default::default()).unwrap();
    let role = |name: &'static str| move |claims: &mut Value| claims["role"] = json!(name);
    let keep = |_: &mut Value| {};
    vec![
        (token("none", &keep, &|_| Vec::new()), Role::Anyone),
        // The public key taken for a secret.
        (token("HS256", &keep, &hmac(public.into_bytes())), Role::Anyone),
        (token("EdDSA", &keep, &ours), Role::Anyone),
        (token("HS384", &keep, &ours), Role::Anyone),
        (token("HS256", &keep, &hmac(vec![1; 32])), Role::Anyone),
        (
            token("EdDSA", &keep, &|signed| SigningKey::from_bytes(&[8; 32]).sign(signed).to_vec()),
            Role::Anyone,
        ),
        (
            token("HS256", &|c| (c["iat"], c["exp"]) = (json!(now - 3_000), json!(now - 31)), &ours),
            Role::Anyone,
        ),
        (token("HS256", &|c| c["nbf"] = json!(now + 600), &ours), Role::Anyone),
        (token("HS256", &|c| c["aud"] = json!("another"), &ours), Role::Anyone),
        (token("HS256", &|c| c["iss"] = json!("another"), &ours), Role::Anyone),
        (token("HS256", &role("anyone"), &ours), Role::Anyone),
        (token("HS256", &role("viewer"), &ours), Role::Viewer),
        (token("EdDSA", &role("trader"), &by_key), Role::Trader),
        (token("HS256", &role("admin"), &ours), Role::Admin),
        (token("EdDSA", &role("admin"), &by_key), Role::Admin),
    ]
}

/// The path of a route that ends its answer: a stream is asked for something that it does not take.
fn quick(route: &Route) -> String {
    let further = if route.content_type() == "text/event-stream" { "?is_a_test=1" } else { "" };
    format!("{}{further}", route.path)
}

/// Every route with every credential: whoever has the role is let in, nobody else, and nobody else changes anything.
#[test]
fn every_route_lets_in_whom_the_table_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = desk_with_web_tokens(dir.path());
    desk.start_venue(&["--seed", "41"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 1).unwrap();
    // A second one of the name takes the place of the first.
    let revoked = token(&desk, Role::Admin, None);
    let [viewer, trader, admin] =
        [Role::Viewer, Role::Trader, Role::Admin].map(|role| token(&desk, role, None));
    let late = token(&desk, Role::Admin, Some(1));
    let flipped = format!("{}{}", &admin[..admin.len() - 1], if admin.ends_with('A') { 'B' } else { 'A' });
    let mut credentials = vec![
        (None, Role::Anyone),
        (Some("Bearer ".to_owned()), Role::Anyone),
        (Some("Bearer null".to_owned()), Role::Anyone),
        (Some("Basic YWRtaW46YWRtaW4=".to_owned()), Role::Anyone),
        (Some(flipped), Role::Anyone),
        (Some(late), Role::Anyone),
        (Some(revoked), Role::Anyone),
        (Some(viewer), Role::Viewer),
        (Some(trader), Role::Trader),
        (Some(admin.clone()), Role::Admin),
    ];
    credentials.extend(web_tokens(now_s()));
    let clients = Clients::new(&desk);
    let (mut let_in, mut refused) = (0, 0);
    for route in ROUTES {
        // An unknown member is refused after the door and before anything happens.
        let body = if route.method == Method::Get { "" } else { r#"{"is_a_test": true}"# };
        for (credential, role) in &credentials {
            let (credential, role) = (credential.as_deref(), *role);
            let (status, text) = clients.ask(route.method.label(), &quick(route), credential, body);
            let is_bad_token = credential.is_some() && role == Role::Anyone;
            let expected = match role {
                _ if is_bad_token => Some(401),
                _ if role >= route.role => None,
                Role::Anyone => Some(401),
                _ => Some(403),
            };
            let what =
                format!("{} {} with {credential:?}: {status} {text}", route.method.label(), route.path);
            match expected {
                Some(wanted) => assert_eq!(status, wanted, "{what}"),
                None if route.method == Method::Get => assert!(matches!(status, 200 | 400 | 503), "{what}"),
                None => assert_eq!(status, 400, "{what}"),
            }
            let_in += u32::from(expected.is_none());
            refused += u32::from(expected.is_some());
        }
    }
    println!(
        "{} routes x {} credentials: {let_in} let in, {refused} refused",
        ROUTES.len(),
        credentials.len()
    );
    assert_eq!(
        AuditLog::open(&desk.data.audit("simulation")).unwrap().verify().unwrap(),
        Ok(0),
        "nothing changed"
    );
    assert_eq!(desk.status().unwrap().trading_state(), TradingState::Armed);
    the_document_says_the_same(&clients, &admin);
    assert_eq!(desk.stop().unwrap(), 0);
}

/// The served document and the table are the same set, and every route is asked as the document says.
fn the_document_says_the_same(clients: &Clients<'_>, admin: &str) {
    let (status, text) = clients.ask("GET", "/api/v1/openapi.json", None, "");
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut told = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            told.insert((path.clone(), method.to_uppercase(), operation["x-role"].to_string()));
        }
    }
    let table = ROUTES
        .iter()
        .map(|r| (r.path.to_owned(), r.method.label().to_owned(), format!("\"{}\"", r.role.label())));
    assert_eq!(told, table.collect());
    for route in ROUTES {
        let other = if route.method == Method::Get { "POST" } else { "GET" };
        assert_eq!(clients.ask(other, &quick(route), Some(admin), "").0, 405, "{other} {}", route.path);
    }
}

/// Every verb reaches the engine, what lets risk in does so at the second asking only, and all of it is written down.
#[test]
fn verbs_reach_the_engine_and_the_audit_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = desk_behind_proxy(dir.path());
    desk.start_venue(&["--seed", "42"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 3).unwrap();
    let [trader, admin] = [Role::Trader, Role::Admin].map(|role| token(&desk, role, None));
    let clients = Clients::new(&desk);
    let done = |verb: &str, token: &str, body: Value| {
        let (status, answer) = clients.change(verb, token, &body);
        assert_eq!((status, &answer["outcome"]), (200, &json!("done")), "{verb}: {answer}");
    };
    let twice = |verb: &str, body: Value| {
        let (status, first) = clients.change(verb, &admin, &body);
        assert_eq!(status, 202, "{verb}: {first}");
        let mut second = body.clone();
        second["confirm"] = first["confirm"].clone();
        assert_eq!(clients.change(verb, &trader, &second).0, 403, "another's");
        let mut other = second.clone();
        other["reason"] = "another one".into();
        assert_eq!(clients.change(verb, &admin, &other).0, 409, "about something else");
        done(verb, &admin, second.clone());
        assert_eq!(clients.change(verb, &admin, &second).0, 409, "once");
    };
    let state = || desk.status().unwrap().trading_state();
    done("disarm", &trader, json!({"reason": "lunch"}));
    assert_eq!(state(), TradingState::Disarmed);
    assert_eq!(clients.change("arm", &admin, &json!({"confirm": "0000000000000000"})).0, 409);
    assert_eq!(state(), TradingState::Disarmed);
    twice("arm", json!({}));
    assert_eq!(state(), TradingState::Armed);
    done("stop-entry", &trader, json!({"symbol": "BTCUSDT"}));
    done("cancel-all", &trader, json!({"strategy": "pairs"}));
    done("flatten", &trader, json!({}));
    wait_for("flat positions", || desk.venue_truth().is_ok_and(|t| t.positions.iter().all(|p| *p == 0)))
        .unwrap();
    done("set", &admin, json!({"name": "pairs.entry_z", "value": 0.7}));
    twice("release-breakers", json!({}));
    done("kill", &trader, json!({}));
    assert!(desk.status().unwrap().kill_seen().is_some() && desk.data.kill_latch().exists());
    let (_, first) = clients.change("arm", &admin, &json!({}));
    let (status, answer) = clients.change("arm", &admin, &json!({"confirm": first["confirm"]}));
    assert_eq!((status, &answer["outcome"]), (409, &json!("refused_killed")), "{answer}");
    twice("clear-kill", json!({}));
    assert!(!desk.data.kill_latch().exists());
    wrong_values_are_named(&clients, &trader, &admin);

    let log = AuditLog::open(&desk.data.audit("simulation")).unwrap();
    let rows = log.rows(i64::MAX, 1000).unwrap();
    assert_eq!(log.verify().unwrap(), Ok(rows.len() as i64));
    let verbs = [
        "disarm",
        "arm",
        "stop-entry",
        "cancel-all",
        "flatten",
        "set",
        "release-breakers",
        "kill",
        "clear-kill",
    ];
    for verb in verbs {
        let of_it = |outcome: &str| {
            rows.iter().filter(|r| r.action.ends_with(&format!("/{verb}")) && r.outcome == outcome).count()
        };
        assert_eq!(of_it("done"), 1, "{verb}");
        let lets_risk_in = ["arm", "set", "release-breakers", "clear-kill"].contains(&verb);
        assert_eq!(of_it("asked") > 0, lets_risk_in, "{verb}");
    }
    assert!(
        rows.iter().all(|row| row.peer.starts_with("10.") && !row.detail.contains("confirm")),
        "{rows:?}"
    );
    let (status, text) = clients.ask("GET", "/api/v1/audit?limit=3", Some(&admin), "");
    let page: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, page["rows"].as_array().unwrap().len()), (200, 3), "{text}");
    assert_eq!(page["next"], page["rows"][2]["sequence"]);
    assert_eq!(desk.stop().unwrap(), 0);
}

fn wrong_values_are_named(clients: &Clients<'_>, trader: &str, admin: &str) {
    let wrong = |verb: &str, token: &str, body: Value, wanted: u16, text: &str| {
        let (status, answer) = clients.change(verb, token, &body);
        assert_eq!(status, wanted, "{verb} {body}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(text), "{verb} {body}: {answer}");
    };
    wrong("stop-entry", trader, json!({"symbol": "NOPE"}), 404, "NOPE");
    wrong("stop-entry", trader, json!({"symbol": "BTCUSDT", "strategy": "pairs"}), 400, "not both");
    wrong("stop-entry", trader, json!({"strategy": "parrots"}), 404, "none of pairs");
    wrong("set", admin, json!({"name": "pairs.entry_z"}), 400, "value: missing");
    wrong("set", admin, json!({"name": "pairs.entry_z", "value": -1}), 409, "does not take that value");
    wrong("set", admin, json!({"name": "nonsense", "value": 1}), 404, "say of which strategy");
    wrong("approve", trader, json!({"order": "17"}), 404, "session and intent");
    wrong("approve", trader, json!({"order": "1.17"}), 404, "session 1 is over");
    wrong("disarm", trader, json!({"reason": "a\nb"}), 400, "control nothing");
}

/// Pages of other hosts, forms and names of other hosts change nothing, whatever they send.
#[test]
fn foreign_pages_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--seed", "43"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 1).unwrap();
    let admin = token(&desk, Role::Admin, None);
    let host = desk.control.to_string();
    let (port, token_line) = (desk.control.port(), format!("Authorization: {admin}\r\n"));
    let json = "Content-Type: application/json\r\n";
    let cases = [
        (format!("evil.example:{port}"), String::new(), json, 400),
        ("evil.example".to_owned(), String::new(), json, 400),
        (host.clone(), "Origin: http://evil.example\r\n".to_owned(), json, 403),
        (host.clone(), "Origin: null\r\n".to_owned(), json, 403),
        (host.clone(), format!("Origin: http://127.0.0.1.evil.example:{port}\r\n"), json, 403),
        (host.clone(), String::new(), "Content-Type: application/x-www-form-urlencoded\r\n", 415),
        (host.clone(), String::new(), "Content-Type: text/plain\r\n", 415),
        (host.clone(), String::new(), "Content-Type: multipart/form-data; boundary=x\r\n", 415),
        (host.clone(), String::new(), "", 415),
    ];
    for verb in ["disarm", "kill", "flatten"] {
        for (named, origin, content, wanted) in &cases {
            let request = format!(
                "POST /api/v1/control/{verb} HTTP/1.1\r\nHost: {named}\r\n{origin}{content}{token_line}\
                 Content-Length: 2\r\n\r\n{{}}"
            );
            let answer = http::raw(desk.control, request.as_bytes()).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {wanted} ")), "{request}\n{answer}");
        }
        let preflight = format!(
            "OPTIONS /api/v1/control/{verb} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\n\
             Access-Control-Request-Method: POST\r\n\r\n"
        );
        let answer = http::raw(desk.control, preflight.as_bytes()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 ") && !answer.contains("Access-Control-Allow"), "{answer}");
    }
    assert_eq!(desk.status().unwrap().trading_state(), TradingState::Armed);
    assert!(!desk.data.kill_latch().exists());
    assert_eq!(desk.stop().unwrap(), 0);
}

/// What is told over HTTP is what the venue says.
#[test]
fn lists_agree_with_the_venue_and_page_through_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--seed", "44"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Fills, 12).unwrap();
    let (code, text) = desk.run_here(&["disarm"]).unwrap();
    assert_eq!(code, 0, "{text}");
    let get = |path: &str| -> Value {
        let (status, text) = http::get(desk.control, path).unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    };
    let all = |list: &str| -> Vec<Value> {
        let (mut rows, mut before) = (Vec::new(), String::new());
        loop {
            let page = get(&format!("/api/v1/{list}?limit=5{before}"));
            rows.extend(page["rows"].as_array().unwrap().clone());
            match page["next"].as_i64() {
                Some(next) => before = format!("&before={next}"),
                None => return rows,
            }
        }
    };
    let truth = desk.venue_truth().unwrap();
    wait_for("every fill in the store", || all("fills").len() == truth.trades.len()).unwrap();
    let ids: BTreeSet<i64> = all("fills").iter().map(|fill| fill["trade_id"].as_i64().unwrap()).collect();
    assert_eq!(ids, truth.trades.iter().map(|trade| trade.trade_id as i64).collect());
    let orders = all("orders");
    assert!(orders.len() as u64 == desk.counter(Counter::OrdersSent), "{}", orders.len());
    // Every order goes back to a decision, and what was not sent was refused.
    wait_for("every decision in the store", || {
        all("decisions").len() as u64 == desk.counter(Counter::Intents)
    })
    .unwrap();
    // Another lane, which is folded by itself.
    let refusals = |risks: &[Value]| risks.iter().filter(|row| row["kind"] == "refusal").count() as u64;
    wait_for("every refusal in the store", || {
        refusals(&all("risk/events")) == desk.counter(Counter::Refusals)
    })
    .unwrap();
    let (decisions, risks) = (all("decisions"), all("risk/events"));
    let wanted: BTreeSet<i64> = decisions.iter().map(|row| row["intent"].as_i64().unwrap()).collect();
    assert!(orders.iter().all(|order| wanted.contains(&order["intent"].as_i64().unwrap())), "{decisions:?}");
    assert!(decisions.iter().all(|row| row["strategy"] == "pairs" && row["price"] != "0.00000000"));
    let of = |kind: &str| risks.iter().filter(|row| row["kind"] == kind).count() as u64;
    assert!(of("trading_armed") == 1 && of("trading_disarmed") == 1, "{risks:?}");
    let filled = |rows: &[Value]| rows.iter().filter(|row| row["symbol"] == "BTCUSDT").count();
    let narrowed = get("/api/v1/orders?symbol=BTCUSDT&limit=1000");
    assert_eq!(narrowed["rows"].as_array().unwrap().len(), filled(&orders));
    assert_eq!(get("/api/v1/orders?open=true")["rows"], json!([]));
    // Every closed round trip is in the day's row, in its symbol's and at the end of the curve.
    let sum = |by: &str| -> f64 {
        let rows = get(&format!("/api/v1/pnl?by={by}"));
        rows["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["net"].as_str().unwrap().parse::<f64>().unwrap())
            .sum()
    };
    let curve = get("/api/v1/equity");
    let end =
        curve["rows"].as_array().unwrap().last().map_or(0.0, |r| r["net"].as_str().unwrap().parse().unwrap());
    for by in ["day", "week", "month", "symbol"] {
        assert!((sum(by) - end).abs() < 1e-6, "{by}: {} and {end}", sum(by));
    }
    println!("{} orders, {} fills, net {end}", orders.len(), ids.len());
    assert_eq!(desk.stop().unwrap(), 0);
}

/// A fuzzer that nobody here wrote goes through the whole document, with every right.
#[test]
fn schemathesis_finds_nothing() {
    let Some(python) = with_packages("schema") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut desk = desk_behind_proxy(dir.path());
    desk.start_venue(&["--seed", "45"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 1).unwrap();
    let admin = token(&desk, Role::Admin, None);
    let output = Command::new(python.with_file_name("schemathesis"))
        .args(["run", &format!("http://{}/api/v1/openapi.json", desk.control)])
        .args(["-H", &format!("Authorization: {admin}")])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--seed", "1"])
        .args(["--no-color", "--continue-on-failure", "--generation-database", "none"])
        // Health answers 503 as soon as a verb has killed the desk; the token is in every request.
        // A stream does not end; it has a test of its own.
        .args(["--exclude-path-regex", "health|/stream", "--exclude-checks", "missing_required_header"])
        .env("SCHEMATHESIS_HOOKS", tickpath_tests::root().join("tests/schema/hooks.py"))
        .current_dir(dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let summary: Vec<&str> =
        told.lines().skip_while(|line| !line.contains(" SUMMARY ")).map(str::trim).collect();
    println!("{}", summary.join("\n"));
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    // It counts the document itself out, which it has read before.
    let is_counted = |path: &str| {
        !path.contains("health") && !path.ends_with("openapi.json") && !path.ends_with("/stream")
    };
    let of_it = ROUTES.iter().filter(|route| is_counted(route.path)).count();
    assert!(summary.contains(&format!("Tested: {of_it}").as_str()), "{told}");
    let log = AuditLog::open(&desk.data.audit("simulation")).unwrap();
    let rows = log.verify().unwrap().unwrap();
    println!("{rows} rows in the audit log");
    // A token may change something a hundred times a minute; the rest was told to wait.
    assert!(rows > 20);
    assert_eq!(desk.stop().unwrap(), 0);
}

/// While the hot process hangs, verbs wait for its answer in every thread; a kill is set and latched beside them.
#[test]
fn a_kill_waits_for_no_other_request() {
    let dir = tempfile::tempdir().unwrap();
    let mut environment = Desk::busy();
    environment.push(("TICKPATH__SUPERVISOR__STALL_MS", "60000"));
    let mut desk = Desk::new(dir.path(), PROGRAM, &environment).unwrap();
    desk.start_venue(&["--seed", "46"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::OrdersSent, 1).unwrap();
    let trader = token(&desk, Role::Trader, None);
    let post = |verb: &str| {
        let path = format!("/api/v1/control/{verb}");
        http::call(desk.control, "POST", &path, &[("Authorization", trader.as_str())], "").unwrap().0
    };
    let hot = desk.child("hot").unwrap();
    signal(hot, Signal::STOP);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..12).map(|_| scope.spawn(|| post("disarm"))).collect();
        std::thread::sleep(Duration::from_millis(500));
        let killer = scope.spawn(|| post("kill"));
        wait_for("the latch", || desk.data.kill_latch().exists()).unwrap();
        let left = waiting.iter().filter(|request| !request.is_finished()).count();
        assert!(left > 8, "{left} of 12 still wait: more than were at work at once");
        assert_eq!(killer.join().unwrap(), 504, "set and stored, not seen");
        assert!(waiting.into_iter().all(|request| [503, 504].contains(&request.join().unwrap())));
    });
    signal(hot, Signal::CONT);
    wait_for("the word to be seen", || desk.status().is_ok_and(|s| s.kill_seen().is_some())).unwrap();
    assert_eq!(desk.stop().unwrap(), 0);
}
