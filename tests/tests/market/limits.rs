//! The venue's request limits in virtual time: another program on the same address eats them up until the venue refuses
//! and bans. Nothing is asked before its time, and cancels find their reserve.

use super::orders::local::lock;
use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tickpath_hotpath::{
    order::OrderName,
    session::account::{AccountReader, ResumeFrom},
    venue::{Answer, Call, Credentials, Method, Rest, RestError, Secret, Transport},
};
use tickpath_shared::{config::KeyKind, types::ClientOrderId};
use tickpath_tools::venue::{
    AccountKey, AccountStart, HttpRequest, Limits,
    binance::{Exchange, HttpAnswer},
    definitions,
};

const EPOCH_MS: u64 = 1_700_000_000_000;
/// Refusals after which the address is clear again.
const REFUSALS: u64 = 100;

#[derive(Default)]
struct Seen {
    /// Unix milliseconds before which nothing may be asked.
    not_before_ms: u64,
    too_early: u64,
    refused: u64,
    banned: u64,
    asked: u64,
}

/// The venue, and what it would say of those who do not wait.
struct Watched {
    venue: Arc<Mutex<Exchange>>,
    seen: Mutex<Seen>,
}

fn request(method: &str, path: &str, query: &str, api_key: &str) -> HttpRequest {
    HttpRequest {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        body: String::new(),
        api_key: api_key.into(),
    }
}

fn retry_after_ms(answer: &HttpAnswer) -> u64 {
    let header = answer.headers.iter().find(|(name, _)| name == "Retry-After");
    header.map_or(0, |(_, seconds)| seconds.parse::<u64>().unwrap() * 1000)
}

impl Transport for Watched {
    fn now_ms(&self) -> u64 {
        lock(&self.venue).now_ms()
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let method = match call.method {
            Method::Delete => "DELETE",
            _ => "GET",
        };
        let now_ms = self.now_ms();
        let request = request(method, call.path, call.query, call.api_key);
        let answer = lock(&self.venue).on_http(&request, 0).ok_or("no book yet")?;
        let mut seen = self.seen.lock().unwrap();
        seen.asked += 1;
        seen.too_early += u64::from(now_ms < seen.not_before_ms);
        if matches!(answer.status, 429 | 418) {
            seen.refused += 1;
            seen.banned += u64::from(answer.status == 418);
            seen.not_before_ms = now_ms + retry_after_ms(&answer);
        }
        let used = answer.headers.iter().find(|(name, _)| name == "X-MBX-USED-WEIGHT-1M");
        Ok(Answer {
            status: answer.status,
            used_weight: used.and_then(|(_, used)| used.parse().ok()),
            retry_after_s: Some(retry_after_ms(&answer) / 1000).filter(|s| *s > 0),
            body: answer.body.into_bytes(),
        })
    }
}

#[test]
fn refusals_and_bans_are_waited_for_and_cancels_have_their_reserve() {
    let secret = "secret".to_owned();
    let keys = [AccountKey::Hmac { api_key: "key".into(), secret: secret.clone() }];
    let exchange = Exchange::new(&keys, Limits::default(), AccountStart::default(), EPOCH_MS);
    let venue = Arc::new(Mutex::new(exchange));
    let watched = Arc::new(Watched { venue: Arc::clone(&venue), seen: Mutex::default() });
    let credentials =
        Credentials { api_key: "key".into(), secret: Secret::hmac(&secret).unwrap(), kind: KeyKind::Hmac };
    let rest = Rest::new(Arc::clone(&watched) as Arc<dyn Transport>, Arc::new(credentials), 2000);
    let definition = definitions()[0];
    let id = ClientOrderId::from_venue(b"none");
    let (mut ms, mut held_back, mut cancels_without_reserve) = (EPOCH_MS, 0_u64, 0_u64);
    while watched.seen.lock().unwrap().refused < REFUSALS {
        // Bans double: what lies between is passed over, but for the last moment.
        let until_ms = watched.seen.lock().unwrap().not_before_ms;
        ms = (ms + 25).max(until_ms.saturating_sub(5_000).min(until_ms));
        lock(&venue).advance(ms);
        // The other program asks all the time in three minutes of ten, whatever it is told.
        let is_hogged = (ms / 60_000) % 10 < 3;
        if is_hogged {
            lock(&venue).on_http(&request("GET", "/fapi/v1/exchangeInfo", "", ""), 0);
            lock(&venue).on_http(&request("GET", "/fapi/v1/exchangeInfo", "", ""), 0);
        }
        held_back += u64::from(matches!(rest.server_time(), Err(RestError::NoBudget { .. })));
        let is_blocked = ms < watched.seen.lock().unwrap().not_before_ms;
        let canceled = rest.cancel(&definition, &OrderName::ours(id), ms);
        // While nobody else is there, a cancel is always asked for.
        if !is_blocked && !is_hogged && matches!(canceled, Err(RestError::NoBudget { .. })) {
            let used = lock(&venue).used_weight();
            cancels_without_reserve += u64::from(used < 2400);
        }
    }
    let seen = watched.seen.lock().unwrap();
    println!(
        "{} asked in {} virtual minutes, {held_back} held back; refused {} times, {} of them as banned; {} too early",
        seen.asked,
        (ms - EPOCH_MS) / 60_000,
        seen.refused,
        seen.banned,
        seen.too_early
    );
    assert_eq!((seen.too_early, cancels_without_reserve), (0, 0));
    assert!(seen.banned > 0 && held_back > 10_000);
}

/// The venue behind an account on which somebody else trades: every list of trades has one more than the list before, as
/// long as there are any left.
struct Busy {
    venue: Watched,
    left: AtomicU64,
    listed: AtomicU64,
}

impl Transport for Busy {
    fn now_ms(&self) -> u64 {
        self.venue.now_ms()
    }

    fn call(&self, call: &Call<'_>) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let mut answer = self.venue.call(call)?;
        if call.path == "/fapi/v1/userTrades" && call.query.contains("symbol=BTCUSDT&fromId=0") {
            if self.left.load(Ordering::Relaxed) > 0 {
                self.left.fetch_sub(1, Ordering::Relaxed);
                self.listed.fetch_add(1, Ordering::Relaxed);
            }
            let row = |id: u64| {
                serde_json::json!({
                    "symbol": "BTCUSDT", "id": id, "orderId": 10 + id, "side": "BUY", "positionSide": "BOTH",
                    "price": "61800.0", "qty": "0.001", "quoteQty": "61.8", "realizedPnl": "0", "commission": "0",
                    "commissionAsset": "USDT", "time": EPOCH_MS, "buyer": true, "maker": false
                })
            };
            let rows: Vec<_> = (1..=self.listed.load(Ordering::Relaxed)).map(row).collect();
            answer.body = serde_json::to_vec(&rows)?;
        }
        Ok(answer)
    }
}

/// Positions that were read between two lists of trades contain nobody knows which of them.
#[test]
fn an_account_that_never_stands_still_is_not_taken_for_proven() {
    let secret = "secret".to_owned();
    let keys = [AccountKey::Hmac { api_key: "key".into(), secret: secret.clone() }];
    for (trades, attempts) in [(0, Some(0)), (4, Some(4)), (1_000, None)] {
        let exchange = Exchange::new(&keys, Limits::default(), AccountStart::default(), EPOCH_MS);
        let venue = Watched { venue: Arc::new(Mutex::new(exchange)), seen: Mutex::default() };
        let busy = Arc::new(Busy { venue, left: AtomicU64::new(trades), listed: AtomicU64::new(0) });
        let credentials = Credentials {
            api_key: "key".into(),
            secret: Secret::hmac(&secret).unwrap(),
            kind: KeyKind::Hmac,
        };
        let rest = Rest::new(Arc::clone(&busy) as Arc<dyn Transport>, Arc::new(credentials), 2000);
        let definitions = &definitions()[..1];
        let reader = AccountReader { rest: &rest, definitions, venue_ms: &|| EPOCH_MS };
        let read = reader.read(&ResumeFrom::default(), true);
        match attempts {
            Some(known) => assert_eq!(read.unwrap().trades.len(), known),
            None => assert!(matches!(read, Err(RestError::Unquiet { attempts: 6 })), "{read:?}"),
        }
        let used = lock(&busy.venue.venue).used_weight();
        assert!(used < 1_000, "{used} of 2400 for {trades} trades");
    }
}
