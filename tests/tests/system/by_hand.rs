//! Orders that people place and cancel themselves, and what the interface tells of the account around them.

use crate::PROGRAM;
use serde_json::{Value, json};
use tickpath_control::auth::{NewToken, Role, TokenFile};
use tickpath_shared::counters::Counter;
use tickpath_tests::{
    desk::{Desk, signal, wait_for},
    http,
};

/// Its only strategy waits for signals that never come.
pub fn quiet_environment() -> Vec<(&'static str, &'static str)> {
    vec![
        ("TICKPATH__PAIRS__IS_ENABLED", "false"),
        ("TICKPATH__SIGNAL_FOLLOW__IS_ENABLED", "true"),
        ("TICKPATH__SIGNAL_FOLLOW__SYMBOL", "ETHUSDT"),
        ("TICKPATH__SIGNAL_FOLLOW__QTY", "0.010"),
        ("TICKPATH__RISK__MARKET_ORDERS", "true"),
        ("TICKPATH__CONTROL__EXPORT_FILE", "export/all.jsonl"),
        ("TICKPATH__SUPERVISOR__BACKOFF_MS", "50"),
    ]
}

struct Person<'a> {
    desk: &'a Desk,
    token: String,
}

impl<'a> Person<'a> {
    fn new(desk: &'a Desk, name: &str) -> Self {
        let wanted = NewToken { name, role: Role::Admin, expires_unix_s: None };
        let secret = TokenFile::new(&desk.data).create(&wanted, 0).unwrap();
        Self { desk, token: format!("Bearer {secret}") }
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let headers = [("Authorization", self.token.as_str())];
        let (status, text) =
            http::call(self.desk.control, "POST", &format!("/api/v1/{path}"), &headers, &body.to_string())
                .unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}: {text}")))
    }

    fn get(&self, path: &str) -> Value {
        let (status, text) = http::get(self.desk.control, &format!("/api/v1/{path}")).unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Places an order in two steps; status and answer of the second.
    fn place(&self, order: &Value) -> (u16, Value) {
        let (status, first) = self.post("control/order", order);
        assert_eq!(status, 202, "{order}: {first}");
        let mut second = order.clone();
        second["confirm"] = first["confirm"].clone();
        let answer = self.post("control/order", &second);
        assert_eq!(self.post("control/order", &second).0, 409, "what is sent twice is placed once");
        answer
    }

    fn number(&self, text: &Value) -> f64 {
        text.as_str().unwrap().parse().unwrap()
    }
}

/// Beyond what the venue counts it refuses, and bans who does not hear: the gateway stops before, also for orders that
/// others of the account have sent.
#[test]
fn no_order_is_sent_beyond_the_venues_own_count() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &Desk::busy()).unwrap();
    desk.start_venue(&["--seed", "53", "--orders-10s", "20"]).unwrap();
    desk.start().unwrap();
    let refused = || {
        let (_, text) = http::get(desk.control, "/api/v1/risk/events?name=venue_rate&limit=1000").unwrap();
        text.matches("\"venue_rate\"").count()
    };
    desk.wait_for_counter(Counter::OrdersSent, 45).unwrap();
    wait_for("refusals", || refused() > 5).unwrap();
    println!("{} orders, {} refused here", desk.counter(Counter::OrdersSent), refused());
    assert_eq!(desk.counter(Counter::OrdersRejected), 0, "none was refused there");
    assert_eq!(desk.stop().unwrap(), 0);
}

#[test]
fn a_person_trades_through_the_same_limits_as_strategies() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path(), PROGRAM, &quiet_environment()).unwrap();
    desk.start_venue(&["--seed", "51", "--balance", "50000"]).unwrap();
    desk.start().unwrap();
    wait_for("books", || {
        let books = http::get(desk.control, "/api/v1/books").ok().filter(|(status, _)| *status == 200);
        books.is_some_and(|(_, text)| {
            text.matches("\"book_valid\":true").count() == 2 && !text.contains("\"mark\":\"0.00000000\"")
        })
    })
    .unwrap();
    wait_for("a reconciled account", || desk.status().is_ok_and(|status| status.is_reconciled())).unwrap();
    // Changes are limited by token: each part has its own.
    rests_until_it_is_canceled(&Person::new(&desk, "resting"));
    wrong_orders_are_named(&Person::new(&desk, "wrong"));
    takes_and_gives_back(&Person::new(&desk, "taking"));
    other_terms(&Person::new(&desk, "terms"));
    limits_hold(&Person::new(&desk, "limits"));
    numbers_of_the_account(&Person::new(&desk, "numbers"));
    resets(&Person::new(&desk, "reset"));
    assert_eq!(desk.stop().unwrap(), 0);
    let (code, text) = desk.run_here(&["replay"]).unwrap();
    assert!(code == 0 && text.contains("\"first_difference\":null"), "{code} {text}");
    let (code, text) = desk.run_here(&["rebuild"]).unwrap();
    assert!(code == 0 && text.contains("the store was what the archive folds to"), "{text}");
}

fn rests_until_it_is_canceled(person: &Person<'_>) {
    let book = &person.get("books")["rows"][0];
    assert_eq!(book["symbol"], "BTCUSDT");
    let price = format!("{:.1}", (person.number(&book["bid"]) * 0.998).floor());
    let order = json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.002", "price": price, "time_in_force": "gtx"});
    let (status, answer) = person.place(&order);
    assert_eq!((status, &answer["outcome"]), (200, &json!("done")), "{answer}");
    let open = || person.get("orders?open=true&strategy=manual")["rows"].as_array().unwrap().clone();
    wait_for("the order to work", || open().iter().any(|order| order["state"] == "working")).unwrap();
    let order = open()[0].clone();
    let told = (order["symbol"].as_str(), order["side"].as_str(), order["time_in_force"].as_str());
    assert_eq!(told, (Some("BTCUSDT"), Some("buy"), Some("gtx")));
    assert_eq!(person.number(&order["price"]), price.parse::<f64>().unwrap());
    assert_eq!(person.desk.venue_truth().unwrap().open_orders.len(), 1);
    let id = order["client_order_id"].clone();
    let (status, answer) = person.post("control/cancel", &json!({"order": id}));
    assert_eq!((status, &answer["outcome"]), (200, &json!("done")), "{answer}");
    wait_for("no open order", || open().is_empty()).unwrap();
    assert!(person.desk.venue_truth().unwrap().open_orders.is_empty());
    let (status, answer) = person.post("control/cancel", &json!({"order": id}));
    assert_eq!((status, &answer["outcome"]), (404, &json!("no_such_order")), "{answer}");
}

fn wrong_orders_are_named(person: &Person<'_>) {
    let cases = [
        (json!({"symbol": "NOPE", "side": "buy", "quantity": "1"}), 404, "NOPE"),
        (json!({"symbol": "BTCUSDT", "side": "hold", "quantity": "1"}), 400, "one of buy, sell"),
        (json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.00001"}), 400, "0.00001"),
        (json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "-1"}), 400, "no positive multiple of 0.001"),
        (json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "1", "price": "100.05"}), 400, "100.05"),
        (
            json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "1", "time_in_force": "gtc"}),
            400,
            "without a price",
        ),
        (json!({"symbol": "BTCUSDT", "side": "buy"}), 400, "quantity: missing"),
    ];
    for (order, wanted, text) in cases {
        let (status, answer) = person.post("control/order", &order);
        assert_eq!(status, wanted, "{order}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(text), "{order}: {answer}");
    }
    let (code, text) = person.desk.run_here(&["order", "buy", "0.0001", "BTCUSDT"]).unwrap();
    assert!(code == 1 && text.contains("0.0001 is no positive multiple of 0.001"), "{code} {text}");
    assert_eq!(person.desk.counter(Counter::OrdersSent), 1, "the one that rested");
}

fn takes_and_gives_back(person: &Person<'_>) {
    let desk = person.desk;
    let position = || desk.venue_truth().unwrap().positions[0];
    let (status, answer) = person.place(&json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.004"}));
    assert_eq!((status, &answer["outcome"]), (200, &json!("done")), "{answer}");
    wait_for("a position", || position() > 0).unwrap();
    let bought = position();
    let (code, text) = desk.run_here(&["order", "sell", "0.010", "BTCUSDT", "--reduce-only"]).unwrap();
    assert!(code == 0 && text.contains("sent"), "{code} {text}");
    wait_for("no position", || position() == 0).unwrap();
    assert!(bought > 0);
    // What a person did belongs to no strategy.
    wait_for("the result of the round trip", || {
        let rows = person.get("pnl?by=strategy")["rows"].clone();
        rows.as_array().unwrap().iter().any(|row| row["name"] == "manual" && row["trades"] == 1)
    })
    .unwrap();
}

/// No price, a price of the venue's, an end: the venue takes them, and the list says what became of them.
fn other_terms(person: &Person<'_>) {
    let place = |order: Value| {
        let (status, answer) = person.place(&order);
        assert_eq!((status, &answer["outcome"]), (200, &json!("done")), "{order}: {answer}");
    };
    let newest = || person.get("orders?limit=1&strategy=manual")["rows"][0].clone();
    let ended = |state: &str| wait_for(state, || newest()["state"] == state).unwrap();
    let mut order = json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.002", "market": true});
    place(order.clone());
    ended("filled");
    order["side"] = "sell".into();
    order["reduce_only"] = true.into();
    place(order.clone());
    ended("filled");
    assert_eq!(person.desk.venue_truth().unwrap().positions[0], 0);

    place(
        json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.002", "price_match": "queue_20", "time_in_force": "gtx"}),
    );
    ended("working");
    let open = person.desk.venue_truth().unwrap().open_orders;
    assert_eq!(open.len(), 1);
    let shown = |price: &Value| (person.number(price) * 100.0).round() as i64;
    wait_for("the price that the venue gave it", || shown(&newest()["price"]) == open[0].price).unwrap();
    let (code, text) = person.desk.run_here(&["cancel", open[0].client_order_id.as_str()]).unwrap();
    assert!(code == 0 && text.contains("cancel sent"), "{code} {text}");
    ended("canceled");

    let book = person.get("books")["rows"][0].clone();
    let price = format!("{:.1}", (person.number(&book["bid"]) * 0.998).floor());
    let ending = ["order", "buy", "0.002", "BTCUSDT", "--price", &price, "--good-for-s", "700"];
    let (code, text) = person.desk.run_here(&ending).unwrap();
    assert!(code == 0 && text.contains("sent"), "{code} {text}");
    ended("working");
    assert_eq!(newest()["time_in_force"], "gtd");
    let (code, text) = person.desk.run_here(&["cancel-all"]).unwrap();
    assert_eq!(code, 0, "{text}");
    ended("canceled");
    let short = ["order", "buy", "0.002", "BTCUSDT", "--price", &price, "--good-for-s", "60"];
    let (code, text) = person.desk.run_here(&short).unwrap();
    assert!(code == 4 && text.contains("good_till"), "{code} {text}");
}

/// The limits see a person's order like any other, on the book that the engine has.
fn limits_hold(person: &Person<'_>) {
    let refused = |order: &Value, reason: &str| {
        let (status, answer) = person.place(order);
        assert_eq!((status, &answer["outcome"]), (409, &json!("refused_limit")), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(reason), "{answer}");
        wait_for("the refusal in the store", || {
            let rows = person.get("risk/events?strategy=manual&limit=1")["rows"].clone();
            rows[0]["name"] == reason
        })
        .unwrap();
    };
    refused(&json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "900"}), "qty_max");
    // A limit is tightened while it holds, and loosened again as far as the configuration goes.
    let now = || {
        let rows = person.get("parameters")["rows"].clone();
        let is_it = |row: &&Value| row["name"] == "risk.order_notional_max";
        rows.as_array().unwrap().iter().find(is_it).unwrap().clone()
    };
    let configured = now()["configured"].as_f64().unwrap();
    let set =
        |value: f64| person.post("control/set", &json!({"name": "risk.order_notional_max", "value": value}));
    assert_eq!(set(configured + 1.0).0, 409, "no further");
    assert_eq!(set(50.0).0, 200);
    refused(&json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.002"}), "notional_max");
    wait_for("the value to be told", || now()["value"] == json!(50.0)).unwrap();
    let (code, text) =
        person.desk.run_here(&["set", "risk.order_notional_max", &configured.to_string()]).unwrap();
    assert_eq!(code, 0, "{text}");
    let far = json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.002", "price": "1000.0"});
    refused(&far, "price_collar");
    let (code, text) = person.desk.run_here(&["disarm"]).unwrap();
    assert_eq!(code, 0, "{text}");
    refused(&json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.002"}), "not_armed");
    let (code, text) = person.desk.run_here(&["arm"]).unwrap();
    assert_eq!(code, 0, "{text}");
}

/// Balances are the venue's, and the lines for other programs are what the store has, once each whatever died meanwhile.
fn numbers_of_the_account(person: &Person<'_>) {
    let desk = person.desk;
    let wallet = || {
        let rows = person.get("balances")["rows"].clone();
        rows.as_array()
            .unwrap()
            .iter()
            .find(|row| row["asset"] == "USDT")
            .map(|row| person.number(&row["wallet"]))
    };
    let rest = desk.rest().unwrap();
    let told = rest.balances(rest.server_time().unwrap()).unwrap();
    wait_for("the venue's wallet", || wallet() == Some(told[0].wallet_e8 as f64 / 1e8)).unwrap();
    assert!(wallet() != Some(50_000.0), "fees were paid");
    let parameters = person.get("parameters")["rows"].clone();
    let entry = parameters.as_array().unwrap().iter().find(|row| row["name"] == "pairs.entry_z").unwrap();
    assert_eq!(entry["configured"], entry["value"]);

    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(desk.data.root().join("export/all.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let fills = |lines: &[Value]| -> Vec<i64> {
        lines
            .iter()
            .filter(|line| line["kind"] == "fill")
            .map(|line| line["trade_id"].as_i64().unwrap())
            .collect()
    };
    let in_store = || -> Vec<i64> {
        let rows = person.get("fills?limit=1000")["rows"].clone();
        let mut ids: Vec<i64> =
            rows.as_array().unwrap().iter().map(|row| row["trade_id"].as_i64().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    wait_for("every fill exported", || fills(&lines()) == in_store()).unwrap();
    // Another process goes on where this one was.
    let before = lines();
    let control = desk.child("control").unwrap();
    signal(control, rustix::process::Signal::KILL);
    wait_for("another control process", || desk.child("control").is_some_and(|pid| pid != control)).unwrap();
    wait_for("its interface", || http::get(desk.control, "/health/live").is_ok()).unwrap();
    let (code, text) = desk.run_here(&["order", "buy", "0.002", "BTCUSDT"]).unwrap();
    assert_eq!(code, 0, "{text}");
    wait_for("new lines", || lines().len() > before.len() && fills(&lines()) == in_store()).unwrap();
    let lines = lines();
    let names: std::collections::BTreeSet<String> =
        lines.iter().map(|l| format!("{}-{}-{}", l["session"], l["lane"], l["sequence"])).collect();
    assert_eq!(names.len(), lines.len(), "each once");
}

/// A simulation that is reset holds nothing, opens nothing, and its results begin anew.
fn resets(person: &Person<'_>) {
    let performance = || person.get("simulation/performance");
    assert!(performance()["totals"]["trades"].as_i64() >= Some(1) && performance()["reset_ms"].is_null());
    let (status, answer) = person.post("simulation/reset", &json!({}));
    assert_eq!((status, &answer["outcome"]), (200, &json!("done")), "{answer}");
    wait_for("no position", || person.desk.venue_truth().unwrap().positions.iter().all(|qty| *qty == 0))
        .unwrap();
    let after = performance();
    assert_eq!(after["totals"]["trades"], 0, "{after}");
    assert!(
        after["reset_ms"].as_i64() > Some(0)
            && person.get("simulation/status")["reset_ms"] == after["reset_ms"]
    );
    let (status, answer) = person.place(&json!({"symbol": "BTCUSDT", "side": "buy", "quantity": "0.002"}));
    assert_eq!((status, &answer["outcome"]), (409, &json!("refused_limit")), "{answer}");
    let (status, answer) = person.post("simulation/start", &json!({}));
    assert_eq!((status, &answer["outcome"]), (200, &json!("done")), "{answer}");
    for side in ["buy", "sell"] {
        let (status, answer) = person.place(&json!({"symbol": "BTCUSDT", "side": side, "quantity": "0.002"}));
        assert_eq!((status, &answer["outcome"]), (200, &json!("done")), "{answer}");
        let wanted = i64::from(side == "buy");
        wait_for("the order", || person.desk.venue_truth().unwrap().positions[0].signum() == wanted).unwrap();
    }
    wait_for("one trade since", || performance()["totals"]["trades"] == 1).unwrap();
}
