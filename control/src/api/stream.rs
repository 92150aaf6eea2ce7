//! Server-sent events: the state four times a second, and fills and events as they are stored, to whoever stays connected.
//! One thread computes them once and writes to all; a reader that is too slow is let go. The same thread finishes ordinary
//! answers that their readers take slowly, so that nobody else waits for those.

use super::{Shared, health, records, routes::Answer};
use crate::store::StoreError;
use serde_json::Value;
use std::{
    io::{self, Write},
    net::{IpAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub(super) const PATH: &str = "/api/v1/stream";
pub(super) const CONTENT_TYPE: &str = "text/event-stream";
const EVERY: Duration = Duration::from_millis(250);
const PAUSE: Duration = Duration::from_millis(25);
/// Answers that are read slowly, and bytes of all of them.
const SLOW_MAX: usize = 64;
const SLOW_BYTES_MAX: usize = 64 << 20;
/// Connections at once, and those of one address that is not this host's.
const STREAMS_MAX: usize = 64;
const PEER_MAX: usize = 16;
/// Longest life: whoever reads on comes again, and is asked for a token again.
const LIFE: Duration = Duration::from_secs(900);
/// Bytes that may wait for a slow reader.
const PENDING_BYTES_MAX: usize = 512 << 10;
/// Rows of a table that are told at once; further ones follow a quarter of a second later.
const ROWS_MAX: i64 = 200;

/// What the metrics tell of streams.
#[derive(Debug, Default)]
pub(super) struct StreamGauges {
    /// Connections now.
    pub(super) open: AtomicUsize,
    /// Readers that were let go because they were too slow.
    pub(super) dropped: AtomicU64,
}

/// Where new readers are handed to.
pub(super) struct Streams {
    sender: SyncSender<Reader>,
    slow: SyncSender<SlowAnswer>,
    slow_bytes: Arc<AtomicUsize>,
    gauges: Arc<StreamGauges>,
}

/// The rest of an ordinary answer.
struct SlowAnswer {
    stream: TcpStream,
    rest: Vec<u8>,
    until: Instant,
}

/// Tables that are told of, and what their rows are called.
const TABLES: [&str; 2] = ["fills", "events"];
const NAMES: [&str; 2] = ["fill", "event"];

/// How far a reader has been told: the last row of each table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place([i64; 2]);

impl Place {
    fn parse(id: &str) -> Option<Self> {
        let (fills, events) = id.split_once('.')?;
        Some(Self([fills.parse().ok()?, events.parse().ok()?]))
    }
}

struct Reader {
    stream: TcpStream,
    peer: IpAddr,
    pending: Vec<u8>,
    /// `None` until the newest rows are known.
    place: Option<Place>,
    until: Instant,
}

/// The answer of the route itself: the gate sees that somebody was let in, and keeps the connection.
pub(super) fn admitted() -> Answer {
    Answer::of(CONTENT_TYPE, String::new())
}

impl Streams {
    /// Starts the thread that writes.
    pub(super) fn start(shared: Arc<Shared>, stop: Arc<AtomicBool>) -> (Arc<Self>, JoinHandle<()>) {
        let (sender, receiver) = sync_channel(STREAMS_MAX);
        let (slow, slow_receiver) = sync_channel(SLOW_MAX);
        let (gauges, slow_bytes) = (Arc::clone(&shared.streams), Arc::new(AtomicUsize::new(0)));
        let streams =
            Arc::new(Self { sender, slow, slow_bytes: Arc::clone(&slow_bytes), gauges: Arc::clone(&gauges) });
        let mut writer = Writer { shared, receiver, readers: Vec::new(), told: None, turn: 0, gauges };
        let mut answers = Answers { receiver: slow_receiver, slow: Vec::new(), bytes: slow_bytes };
        let thread = std::thread::spawn(move || {
            let mut next = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(PAUSE);
                let now = Instant::now();
                answers.turn(now);
                if now >= next {
                    next = now + EVERY;
                    writer.turn(now);
                }
            }
        });
        (streams, thread)
    }

    /// Writes what the socket takes at once; the rest goes on beside everything else until a deadline.
    pub(super) fn answer(&self, mut stream: TcpStream, mut bytes: Vec<u8>, until: Instant) {
        if stream.set_nonblocking(true).is_err()
            || flush(&mut stream, &mut bytes).is_err()
            || bytes.is_empty()
        {
            return;
        }
        let length = bytes.len();
        if self.slow_bytes.fetch_add(length, Ordering::Relaxed) + length > SLOW_BYTES_MAX
            || self.slow.try_send(SlowAnswer { stream, rest: bytes, until }).is_err()
        {
            // Too many read slowly: this one is cut off.
            self.slow_bytes.fetch_sub(length, Ordering::Relaxed);
        }
    }

    /// Takes a connection over, with further headers for its answer.
    ///
    /// # Errors
    ///
    /// The connection, when there are too many.
    pub(super) fn join(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        after: Option<&str>,
        headers: &str,
    ) -> Result<(), TcpStream> {
        let is_room = self.gauges.open.fetch_add(1, Ordering::Relaxed) < STREAMS_MAX;
        if !is_room || stream.set_nonblocking(true).is_err() {
            self.gauges.open.fetch_sub(1, Ordering::Relaxed);
            return Err(stream);
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n{headers}Connection: close\r\n\r\nretry: 1000\n\n"
        );
        let place = after.and_then(Place::parse);
        let until = Instant::now() + LIFE;
        self.sender.try_send(Reader { stream, peer, pending: head.into_bytes(), place, until }).map_err(|e| {
            self.gauges.open.fetch_sub(1, Ordering::Relaxed);
            match e {
                std::sync::mpsc::TrySendError::Full(reader)
                | std::sync::mpsc::TrySendError::Disconnected(reader) => reader.stream,
            }
        })
    }
}

/// Writes as much as the socket takes.
fn flush(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut done = 0;
    let result = loop {
        if done == bytes.len() {
            break Ok(());
        }
        match stream.write(&bytes[done..]) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Ok(()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => break Err(e),
        }
    };
    bytes.drain(..done);
    result
}

/// Ordinary answers that are read slowly.
struct Answers {
    receiver: Receiver<SlowAnswer>,
    slow: Vec<SlowAnswer>,
    bytes: Arc<AtomicUsize>,
}

impl Answers {
    fn turn(&mut self, now: Instant) {
        self.slow.extend(self.receiver.try_iter());
        let bytes = &self.bytes;
        self.slow.retain_mut(|answer| {
            let before = answer.rest.len();
            let is_over = flush(&mut answer.stream, &mut answer.rest).is_err()
                || answer.rest.is_empty()
                || answer.until <= now;
            let left = if is_over { 0 } else { answer.rest.len() };
            bytes.fetch_sub(before - left, Ordering::Relaxed);
            !is_over
        });
    }
}

struct Writer {
    shared: Arc<Shared>,
    receiver: Receiver<Reader>,
    readers: Vec<Reader>,
    /// How far readers have been told that keep up; `None` until the store can be read.
    told: Option<Place>,
    turn: usize,
    gauges: Arc<StreamGauges>,
}

/// Rows of both tables.
type Rows = [Vec<Value>; 2];

impl Writer {
    fn turn(&mut self, now: Instant) {
        while let Ok(mut reader) = self.receiver.try_recv() {
            let of_peer = self.readers.iter().filter(|other| other.peer == reader.peer).count();
            if reader.peer.is_loopback() || of_peer < PEER_MAX {
                self.readers.push(reader);
            } else {
                let busy = b"HTTP/1.1 503 Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = reader.stream.write_all(busy);
                self.gauges.open.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if self.readers.is_empty() {
            // Whoever comes next begins with what is newest then.
            self.told = None;
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        // What cannot be read now is told later.
        let _ = self.tell_rows();
        let state = frame("state", None, &health::state(&self.shared).body);
        let gauges = &self.gauges;
        self.readers.retain_mut(|reader| {
            reader.pending.extend_from_slice(state.as_bytes());
            let is_broken = flush(&mut reader.stream, &mut reader.pending).is_err() || reader.is_closed();
            let is_slow = !is_broken && reader.pending.len() > PENDING_BYTES_MAX;
            let is_gone = is_broken || is_slow || reader.until <= now;
            gauges.dropped.fetch_add(u64::from(is_slow), Ordering::Relaxed);
            gauges.open.fetch_sub(usize::from(is_gone), Ordering::Relaxed);
            !is_gone
        });
    }

    /// New rows to those who keep up, and older ones to one of those who do not.
    fn tell_rows(&mut self) -> Result<(), StoreError> {
        let newest = |table| records::newest(&self.shared, table);
        let told = match self.told {
            Some(told) => told,
            None => Place([newest(TABLES[0])?, newest(TABLES[1])?]),
        };
        for reader in &mut self.readers {
            let place = reader.place.get_or_insert(told);
            // Of a store before this one.
            *place = Place([place.0[0].min(told.0[0]), place.0[1].min(told.0[1])]);
        }
        self.tell_laggard(told)?;
        let rows = self.rows(told)?;
        let mut next = told;
        for (at, rows) in rows.iter().enumerate() {
            next.0[at] = rows.last().and_then(|row| row["id"].as_i64()).unwrap_or(told.0[at]);
            for reader in &mut self.readers {
                reader.tell(at, rows, |place| place == told.0[at]);
            }
        }
        self.told = Some(next);
        Ok(())
    }

    /// A page of its own for a reader that is behind, in turns.
    fn tell_laggard(&mut self, told: Place) -> Result<(), StoreError> {
        let is_behind = |reader: &Reader| reader.place.is_some_and(|place| place != told);
        let behind: Vec<usize> = (0..self.readers.len()).filter(|at| is_behind(&self.readers[*at])).collect();
        let Some(at) = (!behind.is_empty()).then(|| behind[self.turn % behind.len()]) else { return Ok(()) };
        let Some(place) = self.readers[at].place else { return Ok(()) };
        let rows = self.rows(place)?;
        for (table, rows) in rows.iter().enumerate() {
            // No further than everybody else is: what is behind that comes to all at once.
            let known = rows.partition_point(|row| row["id"].as_i64().is_some_and(|id| id <= told.0[table]));
            self.readers[at].tell(table, &rows[..known], |_| true);
        }
        Ok(())
    }

    fn rows(&self, after: Place) -> Result<Rows, StoreError> {
        let of = |at: usize| records::newer(&self.shared, TABLES[at], after.0[at], ROWS_MAX);
        Ok([of(0)?, of(1)?])
    }
}

impl Reader {
    /// Rows of a table, if its place there is right for them.
    fn tell(&mut self, at: usize, rows: &[Value], is_right: impl Fn(i64) -> bool) {
        let Some(mut place) = self.place.filter(|place| is_right(place.0[at])) else { return };
        for row in rows {
            place.0[at] = row["id"].as_i64().unwrap_or(place.0[at]);
            let frame = frame(NAMES[at], Some(place), &row.to_string());
            self.pending.extend_from_slice(frame.as_bytes());
        }
        self.place = Some(place);
    }

    /// The other side has gone.
    fn is_closed(&self) -> bool {
        let mut byte = [0];
        match self.stream.peek(&mut byte) {
            Ok(0) => true,
            Err(e) => e.kind() != io::ErrorKind::WouldBlock,
            Ok(_) => false,
        }
    }
}

/// An event; its data is one line.
fn frame(name: &str, place: Option<Place>, data: &str) -> String {
    let id = place.map_or_else(String::new, |place| format!("id: {}.{}\n", place.0[0], place.0[1]));
    format!("{id}event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_and_read_again() {
        let place = Place([12, 3]);
        let text = frame("fill", Some(place), "{}");
        assert_eq!(text, "id: 12.3\nevent: fill\ndata: {}\n\n");
        assert_eq!(Place::parse("12.3"), Some(place));
        for id in ["", "12", "12.", ".3", "1.2.3", "-"] {
            assert_eq!(Place::parse(id), None, "{id}");
        }
    }
}
