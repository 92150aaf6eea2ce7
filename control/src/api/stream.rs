//! Server-sent events: the state four times a second, and fills and events as they are stored, to whoever stays connected.
//! One thread computes them once and writes to all; a reader that is too slow is let go.

use super::{Shared, health, records, routes::Answer};
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
    gauges: Arc<StreamGauges>,
}

/// How far a reader has been told: rows of fills and of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    fills: i64,
    events: i64,
}

impl Place {
    fn parse(id: &str) -> Option<Self> {
        let (fills, events) = id.split_once('.')?;
        Some(Self { fills: fills.parse().ok()?, events: events.parse().ok()? })
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
        let gauges = Arc::clone(&shared.streams);
        let streams = Arc::new(Self { sender, gauges: Arc::clone(&gauges) });
        let mut writer = Writer { shared, receiver, readers: Vec::new(), gauges };
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(EVERY);
                writer.turn(Instant::now());
            }
        });
        (streams, thread)
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

struct Writer {
    shared: Arc<Shared>,
    receiver: Receiver<Reader>,
    readers: Vec<Reader>,
    gauges: Arc<StreamGauges>,
}

impl Writer {
    fn turn(&mut self, now: Instant) {
        while let Ok(reader) = self.receiver.try_recv() {
            let of_peer = self.readers.iter().filter(|other| other.peer == reader.peer).count();
            if reader.peer.is_loopback() || of_peer < PEER_MAX {
                self.readers.push(reader);
            } else {
                self.gauges.open.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if self.readers.is_empty() {
            return;
        }
        self.settle();
        let state = frame("state", None, &health::state(&self.shared).body);
        let from = self.readers.iter().filter_map(|reader| reader.place);
        let oldest =
            from.reduce(|a, b| Place { fills: a.fills.min(b.fills), events: a.events.min(b.events) });
        let rows = |table, after: fn(Place) -> i64| {
            // What cannot be read now is told later.
            oldest.map_or_else(Vec::new, |place| {
                records::newer(&self.shared, table, after(place), ROWS_MAX).unwrap_or_default()
            })
        };
        let (fills, events) = (rows("fills", |place| place.fills), rows("events", |place| place.events));
        let gauges = &self.gauges;
        self.readers.retain_mut(|reader| {
            reader.tell("fill", &fills, |place| &mut place.fills);
            reader.tell("event", &events, |place| &mut place.events);
            reader.pending.extend_from_slice(state.as_bytes());
            let is_broken = reader.flush().is_err() || reader.is_closed();
            let is_slow = !is_broken && reader.pending.len() > PENDING_BYTES_MAX;
            let is_gone = is_broken || is_slow || reader.until <= now;
            gauges.dropped.fetch_add(u64::from(is_slow), Ordering::Relaxed);
            gauges.open.fetch_sub(usize::from(is_gone), Ordering::Relaxed);
            !is_gone
        });
    }

    /// Whoever names no place begins with what comes next.
    fn settle(&mut self) {
        if self.readers.iter().all(|reader| reader.place.is_some()) {
            return;
        }
        let newest = |table| records::newest(&self.shared, table);
        // A store that is not there yet has no rows.
        let place = Place { fills: newest("fills").unwrap_or(0), events: newest("events").unwrap_or(0) };
        for reader in &mut self.readers {
            reader.place.get_or_insert(place);
        }
    }
}

impl Reader {
    fn tell(&mut self, name: &str, rows: &[Value], at: fn(&mut Place) -> &mut i64) {
        let Some(mut place) = self.place else { return };
        for row in rows {
            let id = row["id"].as_i64().unwrap_or(0);
            if id > *at(&mut place) {
                *at(&mut place) = id;
                let frame = frame(name, Some(place), &row.to_string());
                self.pending.extend_from_slice(frame.as_bytes());
            }
        }
        self.place = Some(place);
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.pending.drain(..written)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
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
    let id = place.map_or_else(String::new, |place| format!("id: {}.{}\n", place.fills, place.events));
    format!("{id}event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_and_read_again() {
        let place = Place { fills: 12, events: 3 };
        let text = frame("fill", Some(place), "{}");
        assert_eq!(text, "id: 12.3\nevent: fill\ndata: {}\n\n");
        assert_eq!(Place::parse("12.3"), Some(place));
        for id in ["", "12", "12.", ".3", "1.2.3", "-"] {
            assert_eq!(Place::parse(id), None, "{id}");
        }
    }
}
