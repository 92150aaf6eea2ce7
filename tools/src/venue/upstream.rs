//! Market data relayed from another venue while it happens: paper trading on live data. Only public streams and books
//! are read; no order and no key ever goes there.

use super::INSTRUMENTS;
use crate::capture::{CaptureError, MarketLine, MarketSource};
use anyhow::Context;
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
                let Some(line) = line_of(text).and_then(|line| books.pass(line)) else { continue };
                if lines.send(line).is_err() {
                    return Ok(());
                }
            }
        }
        if let Some(instrument) = books.wanted() {
            let (update_id, line) = read_book(&rest, INSTRUMENTS[usize::from(instrument)].symbol)?;
            for line in books.release(instrument, update_id, line) {
                if lines.send(line).is_err() {
                    return Ok(());
                }
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

/// A book as a line, and its update id.
fn read_book(rest: &Http, symbol: &str) -> anyhow::Result<(u64, MarketLine)> {
    let query = format!("symbol={symbol}&limit=1000");
    let call =
        Call { method: Method::Get, path: "/fapi/v1/depth", query: &query, api_key: "", body_max: BODY_MAX };
    let answer = rest.call(&call).map_err(|e| anyhow::anyhow!("book of {symbol}: {e}"))?;
    anyhow::ensure!(answer.status == 200, "book of {symbol}: status {}", answer.status);
    let text = String::from_utf8(answer.body)?;
    let book: serde_json::Value = serde_json::from_str(&text)?;
    let update_id = book["lastUpdateId"].as_u64().context("a book without lastUpdateId")?;
    let line = MarketLine { time_ns: unix_ns_now(), stream: String::new(), symbol: symbol.to_owned(), text };
    Ok((update_id, line))
}

/// Which books have to be read: at the beginning, and after a diff that does not follow the one before. Diffs wait for
/// their book, so that no book is told that lacks what happened in between.
struct Books {
    decoder: MarketDecoder,
    each: HashMap<u16, Book>,
}

/// A book of the other venue.
#[derive(Default)]
struct Book {
    last: u64,
    /// When it is to be read.
    wanted: Option<Instant>,
    /// Diffs that wait for it, with their first and last update ids.
    held: Vec<(u64, u64, MarketLine)>,
}

impl Books {
    fn new() -> Self {
        Self { decoder: MarketDecoder::new(&super::definitions(), 1 << 20), each: HashMap::new() }
    }

    /// The line, unless it waits for its book.
    fn pass(&mut self, line: MarketLine) -> Option<MarketLine> {
        if self.decoder.decode_bytes(line.text.as_bytes()) != Ok(Decoded::Event) {
            return Some(line);
        }
        let header = self.decoder.header();
        if header.kind != MarketKind::Depth as u16 {
            return Some(line);
        }
        let book = self.each.entry(header.instrument).or_default();
        if book.last != header.previous_update_id {
            book.wanted.get_or_insert(Instant::now() + BEFORE_BOOK);
        }
        book.last = header.last_update_id;
        if book.wanted.is_none() {
            return Some(line);
        }
        book.held.push((header.first_update_id, header.last_update_id, line));
        None
    }

    /// An instrument whose book is to be read now.
    fn wanted(&self) -> Option<u16> {
        let now = Instant::now();
        let is_due = |book: &Book| book.wanted.is_some_and(|at| at <= now);
        self.each.iter().find(|(_, book)| is_due(book)).map(|(instrument, _)| *instrument)
    }

    /// The book with the diffs behind it; nothing while it is older than the first of them, and is read again.
    fn release(&mut self, instrument: u16, update_id: u64, line: MarketLine) -> Vec<MarketLine> {
        let book = self.each.entry(instrument).or_default();
        if book.held.first().is_some_and(|(first, _, _)| *first > update_id + 1) {
            book.wanted = Some(Instant::now() + BEFORE_BOOK);
            return Vec::new();
        }
        book.wanted = None;
        let behind = book.held.drain(..).filter(|(_, last, _)| *last > update_id).map(|(_, _, line)| line);
        std::iter::once(line).chain(behind).collect()
    }
}
