use super::*;
use tickpath_shared::types::{Grid, Symbol};

fn decode(frame: &str) -> Result<PrivateEvent, PrivateError> {
    let definition = InstrumentDefinition::on_grids(
        Symbol::new("BTCUSDT").unwrap(),
        0,
        Grid { scale: 2, places: 1, step: 10 },
        Grid { scale: 4, places: 3, step: 10 },
    );
    PrivateDecoder::new(65_536).decode(frame.as_bytes(), &[definition])
}

// Genuine, USD-M mainnet, 2024-11-18.
const TRADE: &str = r#"{"e":"ORDER_TRADE_UPDATE","T":1731954087444,"E":1731954087444,"o":{"s":"BTCUSDT","c":"android_MLA5BSDBdSD12WPlEyMh","S":"BUY","o":"LIMIT","f":"GTC","q":"0.002","p":"91739.90","ap":"91739.90000","sp":"0","x":"TRADE","X":"FILLED","i":482255808281,"l":"0.002","z":"0.002","L":"91739.90","n":"0.09173990","N":"USDT","T":1731954087444,"t":5612428004,"b":"0","a":"0","m":false,"R":false,"wt":"CONTRACT_PRICE","ot":"LIMIT","ps":"BOTH","cp":false,"rp":"0","pP":false,"si":0,"ss":0,"V":"EXPIRE_MAKER","pm":"NONE","gtd":0}}"#;

#[test]
fn a_genuine_execution_decodes() {
    let PrivateEvent::Order { report, fill: Some(fill), .. } = decode(TRADE).unwrap() else { panic!() };
    assert_eq!((report.state, report.filled), (OrderState::Filled, 20));
    assert_eq!((fill.trade_id, fill.price, fill.qty, fill.fee_e8), (5_612_428_004, 9_173_990, 20, 9_173_990));
    assert_eq!((fill.side, fill.is_maker, &fill.fee_asset[..4]), (Side::Buy as u8, 0, &b"USDT"[..]));
}

#[test]
fn answers_are_matched_by_their_id() {
    let accepted = r#"{"id":"ptp001-0s47mow-00000001","status":200,"result":{"orderId":325078477,"symbol":"BTCUSDT","status":"NEW","clientOrderId":"x","price":"43187.00","origQty":"0.100","executedQty":"0.000"}}"#;
    let event = decode(accepted).unwrap();
    assert!(matches!(event, PrivateEvent::Accepted { request: RequestKind::Place, client_order_id, report }
        if client_order_id.as_str() == "tp001-0s47mow-00000001" && report.venue_order_id == 325_078_477));
    let amended = accepted.replacen("-00000001", "-00000001.07", 1).replacen("ptp001", "mtp001", 1);
    assert!(matches!(decode(&amended).unwrap(),
        PrivateEvent::Accepted { request: RequestKind::Amend { number: 7 }, client_order_id, .. }
        if client_order_id.as_str() == "tp001-0s47mow-00000001"));
    let refused =
        r#"{"id":"ctp001-0s47mow-00000001","status":400,"error":{"code":-2011,"msg":"Unknown order sent."}}"#;
    assert!(matches!(
        decode(refused).unwrap(),
        PrivateEvent::Refused { request: RequestKind::Cancel, code: -2011, .. }
    ));
}

#[test]
fn the_venues_count_of_orders_is_read_from_every_answer() {
    let mut decoder = PrivateDecoder::new(65_536);
    let mut counts = |frame: &str| {
        let _ = decoder.decode(frame.as_bytes(), &[]);
        let told = decoder.order_counts().iter().filter(|told| told.interval_ms > 0);
        told.map(|told| (told.interval_ms, told.limit, told.count)).collect::<Vec<_>>()
    };
    let limits = r#""rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400,"count":7},
        {"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300,"count":9},
        {"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,"limit":1200,"count":10}]"#;
    let refused = format!(r#"{{"id":"px","status":400,"error":{{"code":-2011,"msg":""}},{limits}}}"#);
    assert_eq!(counts(&refused), [(10_000, 300, 9), (60_000, 1_200, 10)]);
    assert_eq!(counts(r#"{"e":"ORDER_TRADE_UPDATE"}"#), []);
    assert_eq!(counts(&refused.replace("SECOND", "FORTNIGHT").replace("1200", "-1")), []);
}

#[test]
fn outcomes_the_venue_does_not_know_are_unknown() {
    for (status, code) in [(503, -1007), (400, -1007), (500, -1000), (408, -1001), (502, -1)] {
        let frame = format!(r#"{{"id":"px","status":{status},"error":{{"code":{code},"msg":""}}}}"#);
        assert!(matches!(decode(&frame).unwrap(), PrivateEvent::Unknown { .. }), "{frame}");
    }
    let throttled = r#"{"id":"px","status":503,"error":{"code":-1008,"msg":""}}"#;
    assert!(matches!(decode(throttled).unwrap(), PrivateEvent::Refused { .. }));
}

#[test]
fn funding_is_told_apart_from_other_changes_of_the_wallet() {
    let frame = |symbol: &str, reason: &str| {
        format!(
            r#"{{"e":"ACCOUNT_UPDATE","T":1736000000001,"E":1736000000002,"a":{{"B":[{{"a":"USDT","wb":"99.5","cw":"99.5","bc":"-0.50000001"}}],"P":[],{symbol}"m":"{reason}"}}}}"#
        )
    };
    let of = |symbol: &str, reason: &str| match decode(&frame(symbol, reason)).unwrap() {
        PrivateEvent::Account(change) => {
            let balance = change.balances().next().copied().unwrap();
            assert_eq!((balance.asset(), balance.wallet_e8), ("USDT".to_owned(), 9_950_000_000));
            change.funding
        }
        other => panic!("{other:?}"),
    };
    let found = |instrument| {
        let (venue_ms, received_e8) = (1_736_000_000_001, -50_000_001);
        Some(Funding { instrument, venue_ms, received_e8 })
    };
    assert_eq!(of("", "FUNDING_FEE"), found(None));
    assert_eq!(of(r#""S":"BTCUSDT","#, "FUNDING_FEE"), found(Some(0)));
    assert_eq!(of(r#""S":"XRPUSDT","#, "FUNDING_FEE"), None);
    assert_eq!(of("", "DEPOSIT"), None);
}

#[test]
fn session_errors_have_no_id_and_secrets_are_recognised() {
    let lost = r#"{"id":null,"status":401,"error":{"code":-2015,"msg":""}}"#;
    assert_eq!(decode(lost).unwrap(), PrivateEvent::SessionLost { code: -2015 });
    let expired = r#"{"e":"listenKeyExpired","E":1736996475556,"listenKey":"WsCMN0a4"}"#;
    assert!(is_secret(expired.as_bytes()) && !is_secret(TRADE.as_bytes()));
    assert_eq!(decode(expired).unwrap(), PrivateEvent::KeyExpired);
    assert_eq!(decode(r#"{"e":"GRID_UPDATE","t":1}"#).unwrap(), PrivateEvent::Ignored);
}

#[test]
fn the_venues_own_orders_are_fills_like_any_other() {
    let of = |x: &str, status: &str, trade: u64| {
        let text = TRADE
            .replace(r#""x":"TRADE","X":"FILLED""#, &format!(r#""x":"{x}","X":"{status}""#))
            .replace(r#""t":5612428004"#, &format!(r#""t":{trade}"#));
        match decode(&text).unwrap() {
            PrivateEvent::Order { report, fill, .. } => (report.state, fill.is_some()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(of("CALCULATED", "NEW_ADL", 7), (OrderState::Working, true));
    assert_eq!(of("CALCULATED", "NEW", 0), (OrderState::Working, false));
    assert_eq!(of("TRADE", "A_WORD_OF_TOMORROW", 7), (OrderState::Unknown, true));
}
