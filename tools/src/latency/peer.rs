//! The pipeline a user would otherwise write: tungstenite, serde_json into strings and floats, a `BTreeMap` a
//! side, `format!` for the order.

use super::{frames::Frames, in_process::Contender};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tickpath_shared::{Nanos, clock::Clock};
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
