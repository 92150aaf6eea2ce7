//! Every genuine message and documentation example at hand: decoded, all fields equal to what serde_json reads.

use super::frames::{Meaning, decoders, definitions as market_definitions, ours, reference};
use serde_json::Value;
use std::{
    error::Error,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tickpath_hotpath::{
    breaker::Funding,
    order::OrderName,
    venue::{
        Answer, Call, Credentials, MarketDecoder, PrivateDecoder, PrivateEvent, Rest, Secret, Transport,
    },
};
use tickpath_shared::{
    config::KeyKind,
    types::{ClientOrderId, Grid, InstrumentDefinition, OrderState, Side, Symbol, decimal},
};
use tickpath_tests::need;

const SCALE: u8 = 8;

/// Instruments of the account messages, all in units of 10^-8.
fn definitions() -> Vec<InstrumentDefinition> {
    let grid = Grid { scale: SCALE, places: SCALE, step: 1 };
    let names = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT"];
    let of = |(i, name): (usize, &&str)| {
        InstrumentDefinition::on_grids(Symbol::new(name).unwrap(), i as u32, grid, grid)
    };
    names.iter().enumerate().map(of).collect()
}

/// The messages of a file whose lines hold them as a text.
fn lines_of(file: &str) -> Option<Vec<String>> {
    let text = fs::read_to_string(need(file)?).unwrap();
    let raw = |line: &str| serde_json::from_str::<Value>(line).unwrap()["raw"].as_str().unwrap().to_owned();
    Some(text.lines().map(raw).collect())
}

/// The messages of a folder, one a file.
fn files_of(folder: &str) -> Option<Vec<(String, String)>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(need(folder)?).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    Some(paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect())
}

#[test]
fn market_messages_mean_what_serde_json_makes_of_them() {
    let Some(mut messages) = lines_of("messages/binance-usdm_market-frames_2026-format.jsonl") else {
        return;
    };
    let Some(files) = files_of("messages/nautilus/binance/futures/market_data_json") else { return };
    messages.extend(files.into_iter().map(|(_, text)| text));
    let definitions = market_definitions();
    let (mut events, mut unused, mut snapshots) = (0, 0, 0);
    for text in &messages {
        let value: Value = serde_json::from_str(text).unwrap();
        if value.get("lastUpdateId").is_some() {
            check_snapshot(text, &value);
            snapshots += 1;
            continue;
        }
        // Raw mode has no wrapper; the reference reads a wrapped copy.
        let wrapped = match value.get("stream") {
            Some(_) => text.clone(),
            None => format!(r#"{{"stream":"x@y","data":{text}}}"#),
        };
        let expected = reference(wrapped.as_bytes(), &definitions);
        assert_ne!(expected, Meaning::Refused, "{text}");
        for mut decoder in decoders() {
            assert_eq!(ours(&mut decoder, text.as_bytes()), expected, "{text}");
            assert_eq!(ours(&mut decoder, wrapped.as_bytes()), expected, "{text}");
        }
        match expected {
            Meaning::Event(..) => events += 1,
            _ => unused += 1,
        }
    }
    println!(
        "{} market messages: {events} events, {snapshots} snapshots, {unused} of kinds that are not used",
        messages.len()
    );
    assert_eq!((messages.len(), events, snapshots, unused), (27, 14, 1, 12));
}

fn check_snapshot(text: &str, value: &Value) {
    let definitions = market_definitions();
    let mut decoder = MarketDecoder::new(&definitions, 1 << 20);
    let header = decoder.decode_snapshot(text.as_bytes(), 0).unwrap();
    assert_eq!(Some(header.last_update_id), value["lastUpdateId"].as_u64());
    assert_eq!(Some(header.venue_ms), value["T"].as_u64());
    let rows = |side: &str| value[side].as_array().unwrap().clone();
    let all = [rows("bids"), rows("asks")].concat();
    assert_eq!((usize::from(header.bids), decoder.levels().len()), (rows("bids").len(), all.len()));
    for (level, row) in decoder.levels().iter().zip(&all) {
        let units = |at: usize, scale| decimal::parse(row[at].as_str().unwrap().as_bytes(), scale).unwrap();
        assert_eq!(
            (level.price, level.qty),
            (units(0, definitions[0].price_scale), units(1, definitions[0].qty_scale))
        );
    }
}

/// Reads fields of an event with serde_json.
struct Fields<'v>(&'v Value);

impl Fields<'_> {
    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap()
    }

    fn units(&self, key: &str) -> i64 {
        decimal::parse(self.text(key).as_bytes(), SCALE).unwrap()
    }

    fn number(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap()
    }

    fn side(&self) -> Side {
        if self.text("S") == "BUY" { Side::Buy } else { Side::Sell }
    }

    fn instrument(&self) -> Option<u32> {
        definitions().iter().find(|d| d.symbol.as_str() == self.text("s")).map(|d| d.instrument)
    }

    fn id(&self) -> ClientOrderId {
        ClientOrderId::from_venue(self.text("c").as_bytes())
    }

    fn state(&self) -> OrderState {
        match self.text("X") {
            "NEW" | "NEW_ADL" | "NEW_INSURANCE" => OrderState::Working,
            "PARTIALLY_FILLED" => OrderState::PartiallyFilled,
            "FILLED" => OrderState::Filled,
            "CANCELED" => OrderState::Canceled,
            other => panic!("{other}"),
        }
    }
}

/// Compares a decoded account event with the text's own fields; false for one that is not used.
fn check_event(event: PrivateEvent, root: &Value) -> bool {
    let e = Fields(root);
    match event {
        PrivateEvent::Order { client_order_id, instrument, report, fill } => {
            let o = Fields(&root["o"]);
            assert_eq!((client_order_id, Some(instrument)), (o.id(), o.instrument()));
            assert_eq!(
                (report.state, report.filled, report.venue_order_id),
                (o.state(), o.units("z"), o.number("i"))
            );
            let is_execution = matches!(o.text("x"), "TRADE" | "CALCULATED") && o.number("t") != 0;
            assert_eq!(fill.is_some(), is_execution);
            if let Some(fill) = fill {
                assert_eq!(
                    (fill.trade_id, fill.price, fill.qty, fill.venue_ms),
                    (o.number("t"), o.units("L"), o.units("l"), o.number("T"))
                );
                let fee = o.0["n"].as_str().map_or(0, |n| decimal::parse(n.as_bytes(), 8).unwrap());
                assert_eq!((fill.fee_e8, fill.side), (fee, o.side() as u8));
                let asset = o.0["N"].as_str().unwrap_or_default();
                assert!(fill.fee_asset.starts_with(asset.as_bytes()));
                assert_eq!(fill.is_maker == 1, o.0["m"].as_bool().unwrap());
            }
        }
        PrivateEvent::EarlyFill(fill) => {
            assert_eq!((Some(fill.instrument), fill.trade_id), (e.instrument(), e.number("t")));
            assert_eq!((fill.client_order_id, fill.price), (e.id(), e.units("L")));
            assert_eq!(fill.qty, e.side().sign() * e.units("l"));
        }
        PrivateEvent::Account(change) => {
            let rows = root["a"]["P"].as_array().unwrap();
            for (instrument, qty) in change.positions.iter() {
                let of = rows.iter().map(Fields).filter(|row| row.instrument() == Some(instrument));
                assert_eq!(qty, of.map(|row| row.units("pa")).sum::<i64>());
            }
            let e8 = |row: &Value, key| decimal::parse(Fields(row).text(key).as_bytes(), 8).unwrap();
            let rows = root["a"]["B"].as_array().unwrap();
            for (balance, row) in change.balances().zip(rows) {
                assert_eq!((balance.wallet_e8, balance.cross_e8), (e8(row, "wb"), e8(row, "cw")));
                assert_eq!(
                    (balance.asset(), balance.venue_ms),
                    (Fields(row).text("a").to_owned(), e.number("T"))
                );
            }
            assert_eq!(change.balances().count(), rows.len());
            if let Some(Funding { venue_ms, received_e8, .. }) = change.funding {
                assert_eq!(received_e8, rows.iter().map(|row| e8(row, "bc")).sum::<i64>());
                assert_eq!((venue_ms, root["a"]["m"].as_str()), (e.number("T"), Some("FUNDING_FEE")));
            }
        }
        PrivateEvent::Stop(change) => {
            let o = Fields(&root["o"]);
            assert_eq!(change.client_order_id, ClientOrderId::from_venue(o.text("caid").as_bytes()));
            assert_eq!(change.stop_id, o.number("aid"));
            assert_eq!(change.state.label().to_uppercase(), o.text("X").replace("NEW", "WAITING"));
            assert_eq!(change.venue_order_id, o.text("ai").parse().unwrap_or(0));
        }
        PrivateEvent::Ignored => {
            // Of other symbols, or without a position.
            let symbol = root["o"]["s"].as_str().unwrap_or_default();
            assert!(symbol.starts_with("BTCUSD_") || root["a"]["P"] == Value::Array(Vec::new()), "{root}");
            return false;
        }
        other => panic!("{other:?} for {root}"),
    }
    true
}

#[test]
fn account_messages_mean_what_serde_json_makes_of_them() {
    let Some(mut messages) = lines_of("messages/binance-usdm_user-stream_genuine_2024-2026.jsonl") else {
        return;
    };
    let genuine = messages.len();
    let Some(files) = files_of("messages/nautilus/binance/futures/user_data_json") else { return };
    messages.extend(files.into_iter().map(|(_, text)| text));
    let mut decoder = PrivateDecoder::new(1 << 16);
    let mut used = 0;
    for text in &messages {
        let root: Value = serde_json::from_str(text).unwrap();
        for framed in [text.clone(), format!(r#"{{"stream":"key","data":{text}}}"#)] {
            let event = decoder.decode(framed.as_bytes(), &definitions()).unwrap();
            used += u32::from(check_event(event, &root));
        }
    }
    println!("{} account messages, {genuine} of them genuine; {} used", messages.len(), used / 2);
    assert_eq!((messages.len(), genuine, used / 2), (25, 11, 24));
}

/// Answers every request with one body.
struct Canned(Mutex<String>);

impl Transport for Canned {
    fn now_ms(&self) -> u64 {
        0
    }

    fn call(&self, _: &Call<'_>) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        Ok(Answer { status: 200, body: self.0.lock().unwrap().clone().into_bytes(), ..Answer::default() })
    }
}

fn client_of(body: &str) -> Rest {
    let secret = Secret::hmac("secret").unwrap();
    let credentials = Credentials { api_key: "key".into(), secret, kind: KeyKind::Hmac };
    Rest::new(Arc::new(Canned(Mutex::new(body.to_owned()))), Arc::new(credentials), 2000)
}

#[test]
fn rest_answers_mean_what_serde_json_makes_of_them() {
    let Some(mut answers) = files_of("messages/nautilus/binance/futures/http_json") else { return };
    let Some(results) = lines_of("messages/binance-futures_order-results.jsonl") else { return };
    let genuine: Value = serde_json::from_str(&results[0]).unwrap();
    answers.push(("order_response".into(), genuine["result"].to_string()));
    let definitions = definitions();
    let mut read = Vec::new();
    for (name, text) in &answers {
        let root: Value = serde_json::from_str(text).unwrap();
        match name.as_str() {
            "order_response" => {
                let id = ClientOrderId::from_venue(root["clientOrderId"].as_str().unwrap().as_bytes());
                let report = client_of(text).order(&definitions[0], &OrderName::ours(id), 0).unwrap();
                assert_eq!((report.client_order_id, report.state), (id, OrderState::Working as u8));
                assert_eq!(Some(report.venue_order_id), root["orderId"].as_u64());
                assert_eq!(report.filled, 0);
                let open = client_of(&format!("[{text}]")).open_orders(&definitions, 0).unwrap()[0];
                let units =
                    |key: &str| decimal::parse(root[key].as_str().unwrap().as_bytes(), SCALE).unwrap();
                assert_eq!((open.price, open.qty), (units("price"), units("origQty")));
            }
            "position_risk" => {
                let rows = client_of(text).positions(&definitions, 0).unwrap();
                let units =
                    |key: &str| decimal::parse(root[0][key].as_str().unwrap().as_bytes(), SCALE).unwrap();
                assert_eq!(
                    (rows[0].qty, rows[0].entry_price_e8),
                    (units("positionAmt"), units("entryPrice"))
                );
                assert!(rows[1..].iter().all(|row| row.qty == 0), "an absent symbol is flat");
            }
            // Nothing of these is asked for.
            "account_info_v2" | "balance" | "open_algo_orders" => continue,
            other => panic!("{other}"),
        }
        read.push(name);
    }
    println!("{} of {} REST answers are of endpoints that are asked", read.len(), answers.len());
    assert_eq!(read.len(), 3);
}
