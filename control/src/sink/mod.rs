//! Where archived records go: each sink is told of them in order, keeps for itself how far it has come, and is told
//! again of what it had not kept for good. Records are named by session, lane and sequence, so that whoever reads a sink
//! sees each of them once.

mod lines;

pub use lines::LineSink;

use crate::store::StoreError;
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tickpath_shared::{
    journal::{ArchiveReader, RecordBuf},
    paths::DataDir,
    record::{Kind, Record},
    types::{Grid, InstrumentDefinition, Symbol, decimal::pow10},
};

/// Records between two commits at most.
const BATCH: u64 = 5_000;
const PAUSE: Duration = Duration::from_millis(50);

/// A place for archived records. A block of one lane is begun, taken record by record, and committed or rolled back.
pub trait Sink {
    /// Begins a block; returns the sequence up to which records of the lane were committed, 0 before the first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn begin(&mut self, session: u64, lane: u16) -> Result<u64, StoreError>;

    /// Takes a record behind that sequence.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the block is rolled back and told again later.
    fn take(&mut self, record: &Archived<'_>) -> Result<(), StoreError>;

    /// Keeps what was taken since [`Self::begin`] and that the lane has come to `sequence`: both, or neither.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the block is rolled back and told again later.
    fn commit(&mut self, sequence: u64) -> Result<(), StoreError>;

    /// Forgets what was taken since [`Self::begin`], which may itself have failed.
    fn roll_back(&mut self);
}

/// A record with what is known around it.
pub struct Archived<'a> {
    /// The record.
    pub record: &'a Record<'a>,
    /// Its session.
    pub session: u64,
    lane: &'a Lane,
}

impl Archived<'_> {
    /// When it happened, unix nanoseconds.
    pub fn unix_ns(&self) -> i64 {
        (self.lane.start_unix_ns + self.record.header.time) as i64
    }

    /// Symbol of an instrument.
    pub fn symbol(&self, instrument: u32) -> String {
        let definition = self.lane.definitions.get(&instrument);
        definition.map_or_else(|| format!("#{instrument}"), |d| d.symbol.as_str().to_owned())
    }

    /// A price in units as quote currency x 10^8.
    pub fn price_e8(&self, instrument: u32, price: i64) -> i64 {
        self.lane.definitions.get(&instrument).map_or(price, |d| d.price_to_e8(price) as i64)
    }

    /// A quantity in units as base asset x 10^8.
    pub fn qty_e8(&self, instrument: u32, qty: i64) -> i64 {
        self.lane.definitions.get(&instrument).map_or(qty, |d| qty * pow10(8 - d.qty_scale))
    }
}

struct Lane {
    reader: ArchiveReader,
    /// Wall clock at the session's time zero.
    start_unix_ns: u64,
    definitions: BTreeMap<u32, InstrumentDefinition>,
}

/// Readers of the archives, kept open between two calls, on behalf of one sink.
#[derive(Default)]
pub struct Follower {
    lanes: BTreeMap<(u64, u16), Lane>,
}

impl Follower {
    /// Hands over what is new in every archive, oldest session first, and returns how many records that were.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; whole blocks are kept. A follower that failed may have read further than its sink has come: go on
    /// with a new one.
    pub fn catch_up(&mut self, sink: &mut impl Sink, data: &DataDir) -> Result<u64, StoreError> {
        self.open_new(&data.archive())?;
        let mut handed = 0;
        for (&(session, lane), state) in &mut self.lanes {
            loop {
                let records = state.hand_over(sink, session, lane)?;
                handed += records;
                if records < BATCH {
                    break;
                }
            }
        }
        Ok(handed)
    }

    fn open_new(&mut self, archive: &Path) -> Result<(), StoreError> {
        let Ok(sessions) = std::fs::read_dir(archive) else { return Ok(()) };
        for session in sessions.flatten() {
            for file in std::fs::read_dir(session.path())?.flatten() {
                let path = file.path();
                if path.extension().is_none_or(|e| e != "tpa") || self.is_open(&path) {
                    continue;
                }
                // A file whose head is not written yet is found again at the next turn.
                if let Ok(reader) = ArchiveReader::open(&path) {
                    let (start_unix_ns, definitions) = begun_with(reader.metadata());
                    let key = (reader.session(), reader.lane());
                    self.lanes.insert(key, Lane { reader, start_unix_ns, definitions });
                }
            }
        }
        Ok(())
    }

    fn is_open(&self, path: &Path) -> bool {
        self.lanes.values().any(|lane| lane.reader.path() == path)
    }
}

/// Wall clock at time zero, and the instruments, which not every lane has records of.
fn begun_with(metadata: &str) -> (u64, BTreeMap<u32, InstrumentDefinition>) {
    let json: serde_json::Value = serde_json::from_str(metadata).unwrap_or_default();
    let definition = |told: &serde_json::Value| {
        let grid = |scale: &str, step: &str| {
            let scale = u8::try_from(told[scale].as_u64()?).ok()?;
            Some(Grid { scale, places: scale, step: told[step].as_i64()? })
        };
        let instrument = u32::try_from(told["instrument"].as_u64()?).ok()?;
        let symbol = Symbol::new(told["symbol"].as_str()?)?;
        let (price, qty) = (grid("price_scale", "tick")?, grid("qty_scale", "lot")?);
        Some((instrument, InstrumentDefinition::on_grids(symbol, instrument, price, qty)))
    };
    let definitions = json["definitions"].as_array().into_iter().flatten().filter_map(definition);
    (json["start_unix_ns"].as_u64().unwrap_or(0), definitions.collect())
}

impl Lane {
    /// Hands over one block and returns its records.
    fn hand_over(&mut self, sink: &mut impl Sink, session: u64, lane: u16) -> Result<u64, StoreError> {
        let handed = sink.begin(session, lane).and_then(|kept| {
            let read = self.block(sink, session, kept)?;
            let last = self.reader.sequence();
            if read > 0 && last > kept {
                sink.commit(last)?
            } else {
                sink.roll_back()
            }
            Ok(read)
        });
        // Also of a block that was only half begun.
        handed.inspect_err(|_| sink.roll_back())
    }

    fn block(&mut self, sink: &mut impl Sink, session: u64, kept: u64) -> Result<u64, StoreError> {
        let mut buf = RecordBuf::default();
        let mut read = 0;
        while read < BATCH && self.reader.next_into(&mut buf)?.is_some() {
            read += 1;
            let record = buf.record();
            // Definitions are needed even when they were taken before.
            if record.kind() == Some(Kind::Definition)
                && let Some(definition) = record.body::<InstrumentDefinition>()
            {
                self.definitions.insert(definition.instrument, definition);
            }
            if record.header.sequence > kept {
                sink.take(&Archived { record: &record, session, lane: self })?;
            }
        }
        Ok(read)
    }
}

/// What a sink's thread tells the rest of the process.
#[derive(Debug, Default)]
pub struct SinkGauges {
    /// Records handed over by this process.
    pub records: AtomicU64,
    /// The last attempt failed.
    pub is_failing: AtomicBool,
}

/// The thread that feeds a sink.
pub struct SinkThread {
    thread: JoinHandle<()>,
    gauges: Arc<SinkGauges>,
}

impl SinkThread {
    /// Feeds a sink until `stop`, and then what is left.
    pub fn start(
        name: &'static str,
        mut sink: impl Sink + Send + 'static,
        data: DataDir,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let gauges = Arc::new(SinkGauges::default());
        let told = Arc::clone(&gauges);
        let thread = std::thread::spawn(move || {
            let mut follower = Follower::default();
            loop {
                let is_last = stop.load(Ordering::Relaxed);
                match follower.catch_up(&mut sink, &data) {
                    Ok(records) => {
                        told.records.fetch_add(records, Ordering::Relaxed);
                        told.is_failing.store(false, Ordering::Relaxed);
                    }
                    Err(e) => {
                        if !told.is_failing.swap(true, Ordering::Relaxed) {
                            tracing::error!(error = %e, "{name} failed; tried again until it succeeds");
                        }
                        // Readers may be in the middle of a block: start from the cursor again.
                        follower = Follower::default();
                    }
                }
                if is_last {
                    return;
                }
                std::thread::sleep(PAUSE);
            }
        });
        Self { thread, gauges }
    }

    /// What it tells.
    pub fn gauges(&self) -> Arc<SinkGauges> {
        Arc::clone(&self.gauges)
    }

    /// Waits for its end.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("a sink's thread panicked");
        }
    }
}
