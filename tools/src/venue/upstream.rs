//! Market data relayed from another venue while it happens: paper trading on live data. Only public streams and books
//! are read; no order and no key ever goes there.

use super::INSTRUMENTS;
use crate::capture::{CaptureError, MarketLine, MarketSource};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};
use tickpath_hotpath::{
    market::MarketKind,
    net::connection::Connection,
    session::connect::{Roots, connect},
    venue::{Call, Decoded, Http, MarketDecoder, Method, Transport, streams},
    wire::ws::{Caps, Utf8},
};
use tickpath_shared::{clock::unix_ns_now, config::Host};

/// Pause before a lost connection is made anew; it doubles up to the other while that fails.
const PAUSE: Duration = Duration::from_secs(4);
const PAUSE_MAX: Duration = Duration::from_secs(120);
/// A connection that lasted so long was well.
const STEADY: Duration = Duration::from_secs(1);
/// Longest silence of a connection.
const SILENCE: Duration = Duration::from_secs(15);
/// Pause when nothing has arrived.
const IDLE: Duration = Duration::from_micros(200);
/// Wait for the first diffs before a book is read: they bridge it.
const BEFORE_BOOK: Duration = Duration::from_millis(300);
const BODY_MAX: u64 = 8 << 20;

/// Where the data comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Streams, `ws://` or `wss://`, without the route.
    pub streams: String,
    /// REST, `http://` or `https://`.
    pub rest: String,
    /// A further certificate authority (PEM); empty for none.
    pub ca_file: PathBuf,
}

/// Lines as they arrive.
pub(super) struct LiveSource {
    lines: Receiver<MarketLine>,
}

impl LiveSource {
    /// Starts to read.
    pub(super) fn start(upstream: Upstream) -> Self {
        let (sender, lines) = channel();
        // Ends with its receiver.
        std::thread::spawn(move || relay(&upstream, &sender));
        Self { lines }
    }
}

impl MarketSource for LiveSource {
    fn next_line(&mut self) -> Result<Option<MarketLine>, CaptureError> {
        Ok(self.lines.try_recv().ok())
    }

    fn is_live(&self) -> bool {
        true
    }
}

fn relay(upstream: &Upstream, lines: &Sender<MarketLine>) {
    let mut pause = PAUSE;
    loop {
        let from = Instant::now();
        let Err(why) = follow(upstream, lines) else { return };
        let was_well = from.elapsed() > STEADY;
        pause = if was_well { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
        eprintln!("upstream {}: {why:#}; next try in {} s", upstream.streams, pause.as_secs());
        std::thread::sleep(pause);
    }
}

/// One pair of connections until one of them ends; `Ok` when nobody wants lines any more.
fn follow(upstream: &Upstream, lines: &Sender<MarketLine>) -> anyhow::Result<()> {
    let roots = Roots::load(&upstream.ca_file)?;
    let definitions = super::definitions();
    let open = |route: &str, kinds: &[&str]| -> anyhow::Result<Box<Connection>> {
        let url = format!("{}/{route}/stream?streams={}", upstream.streams, streams(&definitions, kinds));
        let caps = Caps { frame_bytes: 1 << 20, message_bytes: 4 << 20, utf8: Utf8::Checked };
        Ok(connect(&url, &roots, caps, &Host::default(), None)?.connection)
    };
    let mut connections =
        [open("public", &["depth@0ms", "bookTicker", "trade"])?, open("market", &["markPrice@1s"])?];
    let rest = Http::new(&upstream.rest, roots.rest(), Duration::from_secs(10));
    let mut books = Books::new();
    let mut heard = [Instant::now(); 2];
    loop {
        let mut is_idle = true;
        for (connection, heard) in connections.iter_mut().zip(&mut heard) {
            if connection.receive()? {
                *heard = Instant::now();
            }
            anyhow::ensure!(heard.elapsed() < SILENCE, "nothing was heard for {} s", SILENCE.as_secs());
            while let Some(text) = connection.next_text()? {
                is_idle = false;
                let Ok(text) = std::str::from_utf8(text.as_bytes()) else { continue };
                let Some(line) = line_of(text) else { continue };
                books.note(&line);
                if lines.send(line).is_err() {
                    return Ok(());
                }
            }
        }
        if let Some(symbol) = books.take_wanted() {
            let line = read_book(&rest, symbol)?;
            if lines.send(line).is_err() {
                return Ok(());
            }
        }
        if is_idle {
            std::thread::sleep(IDLE);
        }
    }
}

/// A combined frame as a line; `None` for anything else.
fn line_of(text: &str) -> Option<MarketLine> {
    let stream = text.strip_prefix(r#"{"stream":""#)?.split('"').next()?;
    let symbol = stream.split('@').next()?.to_uppercase();
    Some(MarketLine { time_ns: unix_ns_now(), stream: stream.to_owned(), symbol, text: text.to_owned() })
}

fn read_book(rest: &Http, symbol: &str) -> anyhow::Result<MarketLine> {
    let query = format!("symbol={symbol}&limit=1000");
    let call =
        Call { method: Method::Get, path: "/fapi/v1/depth", query: &query, api_key: "", body_max: BODY_MAX };
    let answer = rest.call(&call).map_err(|e| anyhow::anyhow!("book of {symbol}: {e}"))?;
    anyhow::ensure!(answer.status == 200, "book of {symbol}: status {}", answer.status);
    let text = String::from_utf8(answer.body)?;
    Ok(MarketLine { time_ns: unix_ns_now(), stream: String::new(), symbol: symbol.to_owned(), text })
}

/// Which books have to be read: at the beginning, and after a diff that does not follow the one before.
struct Books {
    decoder: MarketDecoder,
    /// By instrument: last update id, and when its book is to be read.
    each: HashMap<u16, (u64, Option<Instant>)>,
}

impl Books {
    fn new() -> Self {
        Self { decoder: MarketDecoder::new(&super::definitions(), 1 << 20), each: HashMap::new() }
    }

    fn note(&mut self, line: &MarketLine) {
        if self.decoder.decode_bytes(line.text.as_bytes()) != Ok(Decoded::Event) {
            return;
        }
        let header = self.decoder.header();
        if header.kind != MarketKind::Depth as u16 {
            return;
        }
        let (last, wanted) = self.each.entry(header.instrument).or_insert((0, None));
        if *last != header.previous_update_id {
            wanted.get_or_insert(Instant::now() + BEFORE_BOOK);
        }
        *last = header.last_update_id;
    }

    fn take_wanted(&mut self) -> Option<&'static str> {
        let now = Instant::now();
        let (instrument, (_, wanted)) =
            self.each.iter_mut().find(|(_, (_, wanted))| wanted.is_some_and(|at| at <= now))?;
        *wanted = None;
        Some(INSTRUMENTS[usize::from(*instrument)].symbol)
    }
}
