//! The pipeline a user would otherwise write: tungstenite, serde_json into strings and floats, a `BTreeMap` a
//! side, `format!` for the order; over sockets on tokio.

use super::{
    frames::Frames,
    generator::{self, Link, Pace},
    in_process::Contender,
    loopback::Comparison,
    report::Sample,
    wire::{VenueEnd, pair},
};
use crate::venue::script;
use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};
use tickpath_hotpath::net::affinity::pin;
use tickpath_shared::{Nanos, clock::Clock};
use tokio_tungstenite::WebSocketStream;
use tungstenite::{
    Message, WebSocket,
    protocol::{Role, WebSocketConfig},
};

/// Price units a tick of the user's book is counted in.
const TICKS: f64 = 10.0;

#[derive(Deserialize)]
struct Combined<T> {
    data: T,
}

#[derive(Deserialize)]
#[expect(non_snake_case, reason = "the venue's field names")]
#[expect(dead_code, reason = "a user reads the fields of a message, not only those used here")]
struct Ticker {
    e: String,
    u: u64,
    s: String,
    b: String,
    B: String,
    a: String,
    A: String,
}

#[derive(Deserialize)]
#[expect(non_snake_case, reason = "the venue's field names")]
#[expect(dead_code, reason = "a user reads the fields of a message, not only those used here")]
struct Depth {
    e: String,
    s: String,
    U: u64,
    u: u64,
    pu: u64,
    b: Vec<(String, String)>,
    a: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Snapshot {
    #[serde(rename = "lastUpdateId")]
    id: u64,
    bids: Vec<(String, String)>,
    asks: Vec<(String, String)>,
}

/// Book and decision of the user's pipeline, with whatever transport.
#[derive(Default)]
pub(super) struct UserPipeline {
    bids: BTreeMap<i64, f64>,
    asks: BTreeMap<i64, f64>,
    last_id: u64,
    is_valid: bool,
    orders: u64,
}

fn apply(side: &mut BTreeMap<i64, f64>, levels: &[(String, String)]) {
    for (price, qty) in levels {
        let (Ok(price), Ok(qty)) = (price.parse::<f64>(), qty.parse::<f64>()) else { continue };
        let ticks = (price * TICKS).round() as i64;
        if qty == 0.0 {
            side.remove(&ticks);
        } else {
            side.insert(ticks, qty);
        }
    }
}

impl UserPipeline {
    pub(super) fn snapshot(&mut self, body: &str) -> Result<()> {
        let snapshot: Snapshot = serde_json::from_str(body)?;
        self.bids.clear();
        self.asks.clear();
        apply(&mut self.bids, &snapshot.bids);
        apply(&mut self.asks, &snapshot.asks);
        (self.last_id, self.is_valid) = (snapshot.id, true);
        Ok(())
    }

    /// The order that a message leads to: every tick on a known book is answered, as the probe does.
    pub(super) fn on_text(&mut self, text: &str) -> Option<String> {
        let ask = if text.contains("@bookTicker") {
            let ticker: Combined<Ticker> = serde_json::from_str(text).ok()?;
            ticker.data.a.parse::<f64>().ok()?
        } else {
            let depth: Combined<Depth> = serde_json::from_str(text).ok()?;
            apply(&mut self.bids, &depth.data.b);
            apply(&mut self.asks, &depth.data.a);
            self.last_id = depth.data.u;
            *self.asks.first_key_value()?.0 as f64 / TICKS
        };
        if !self.is_valid {
            return None;
        }
        self.orders += 1;
        let id = format!("tp001-0s4v1tc-{:08}", self.orders);
        Some(format!(
            "{{\"id\":\"p{id}\",\"method\":\"order.place\",\"params\":{{\"newClientOrderId\":\"{id}\",\
             \"newOrderRespType\":\"ACK\",\"price\":\"{ask:.1}\",\"quantity\":\"{:.3}\",\"recvWindow\":2000,\
             \"selfTradePreventionMode\":\"EXPIRE_MAKER\",\"side\":\"BUY\",\"symbol\":\"BTCUSDT\",\
             \"timeInForce\":\"IOC\",\"timestamp\":{},\"type\":\"LIMIT\"}}}}",
            0.014,
            tickpath_shared::clock::unix_ns_now() / 1_000_000
        ))
    }
}

/// The market's bytes in, the order's bytes out, in memory.
struct Pipe {
    frames: Arc<Frames>,
    at: usize,
    readable: Arc<AtomicUsize>,
    clock: Clock,
    written_ns: Arc<AtomicU64>,
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = &self.frames.wire()[self.at..self.readable.load(Ordering::Relaxed)];
        if bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = bytes.len().min(out.len());
        out[..len].copy_from_slice(&bytes[..len]);
        self.at += len;
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written_ns.store(self.clock.now(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The user's pipeline over a socket in memory.
struct InMemory {
    name: &'static str,
    pipeline: UserPipeline,
    socket: WebSocket<Pipe>,
    frames: Arc<Frames>,
    readable: Arc<AtomicUsize>,
    written_ns: Arc<AtomicU64>,
    clock: Clock,
}

impl InMemory {
    fn new(name: &'static str, frames: &Arc<Frames>, config: WebSocketConfig) -> Self {
        let (readable, written_ns) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let clock = Clock::start();
        let pipe = Pipe {
            frames: Arc::clone(frames),
            at: 0,
            readable: Arc::clone(&readable),
            clock: clock.clone(),
            written_ns: Arc::clone(&written_ns),
        };
        Self {
            name,
            pipeline: UserPipeline::default(),
            socket: WebSocket::from_raw_socket(pipe, Role::Client, Some(config)),
            frames: Arc::clone(frames),
            readable,
            written_ns,
            clock,
        }
    }
}

impl Contender for InMemory {
    fn name(&self) -> &'static str {
        self.name
    }

    fn snapshot(&mut self, _symbol: &str, body: &str) -> Result<()> {
        self.pipeline.snapshot(body).context("snapshot")
    }

    fn tick(&mut self, frame: usize) -> Option<Nanos> {
        let start = self.clock.now();
        self.readable.store(self.frames.end(frame), Ordering::Relaxed);
        let Ok(Message::Text(text)) = self.socket.read() else { return None };
        let order = self.pipeline.on_text(&text)?;
        self.socket.send(Message::text(order)).ok()?;
        Some(self.written_ns.load(Ordering::Relaxed).saturating_sub(start))
    }
}

/// The pipelines to compare with in the process.
pub(super) fn contenders(frames: &Arc<Frames>) -> Vec<Box<dyn Contender>> {
    let small = WebSocketConfig::default().read_buffer_size(4096);
    vec![
        Box::new(InMemory::new("(i) tungstenite, serde_json", frames, WebSocketConfig::default())),
        Box::new(InMemory::new("(i') the same, 4 KiB read buffer", frames, small)),
    ]
}

/// The user's pipeline on a tokio thread of its own, which ends when the venue closes.
pub(super) struct Baseline {
    link: Link,
    _thread: JoinHandle<Result<()>>,
}

impl Baseline {
    /// Connected and running on the hot path's core; `None` when it was not asked for.
    ///
    /// # Errors
    ///
    /// When loopback fails, or with TLS: what is compared over TLS is the cipher, see the benches.
    pub(super) fn new(plan: &Comparison<'_>) -> Result<Option<Self>> {
        if !plan.is_baseline {
            return Ok(None);
        }
        if plan.desk.tls.is_some() {
            bail!("--baseline is without --tls: over TLS the comparison is with the bare cipher");
        }
        let (market_ours, market) = pair()?;
        let (orders_ours, orders) = pair()?;
        let core = plan.desk.cores[1];
        let thread = std::thread::spawn(move || {
            pin(Some(core));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            runtime.block_on(serve(market_ours, orders_ours))
        });
        let (market, orders) = (VenueEnd::plain(market)?, VenueEnd::plain(orders)?);
        let link = Link { market, orders, is_answering: false, number: 0, order_bytes: 0 };
        Ok(Some(Self { link, _thread: thread }))
    }

    /// One round.
    ///
    /// # Errors
    ///
    /// A connection that ends.
    pub(super) fn round(&mut self, clock: &Clock, pace: Pace) -> Result<Sample> {
        generator::run(clock, &mut self.link, Pace { gap_ns: 200_000, ticks: 50 })?;
        let round = generator::run(clock, &mut self.link, pace)?;
        if round.sample.histogram().is_empty() {
            bail!("the user's pipeline answered no tick");
        }
        Ok(round.sample)
    }
}

async fn serve(market: TcpStream, orders: TcpStream) -> Result<()> {
    let mut pipeline = UserPipeline::default();
    pipeline.snapshot(&script::snapshot(0))?;
    let mut sockets = Vec::new();
    for tcp in [market, orders] {
        tcp.set_nonblocking(true)?;
        let tcp = tokio::net::TcpStream::from_std(tcp)?;
        sockets.push(WebSocketStream::from_raw_socket(tcp, Role::Client, None).await);
    }
    let (Some(mut orders), Some(mut market)) = (sockets.pop(), sockets.pop()) else {
        unreachable!("two were made")
    };
    while let Some(message) = market.next().await {
        if let Message::Text(text) = message?
            && let Some(order) = pipeline.on_text(&text)
        {
            orders.send(Message::text(order)).await?;
        }
    }
    Ok(())
}
