//! The status file: what the hot process is doing, for everybody else to read.
//!
//! Written by the hot process alone, mapped read-only by others. Every word is an atomic of its own;
//! a reader sees each value whole, not all values of one instant.
//!
//! ```text
//! 0      header        identity, trading state, heartbeats
//! 4096   counters      COUNTERS_MAX words
//!        lanes         LANES_MAX x 8 words
//!        rings         RINGS_MAX x 8 words
//!        instruments   INSTRUMENTS_MAX x 32 words
//!        answers       ANSWERS x 2 words, results of commands
//!        histograms    STAGES_MAX histograms
//! ```

use crate::{
    Nanos,
    counters::{COUNTERS_MAX, Counter, STAGES_MAX, Stage},
    histogram::{self, Histogram, HistogramCopy},
    memory::{MappedFile, MemoryError, ReadOnlyFile},
    types::{InstrumentDefinition, TradingState},
};
use std::{path::Path, sync::atomic::Ordering};
use zerocopy::{FromBytes, IntoBytes};

const MAGIC: u64 = u64::from_le_bytes(*b"tpstatus");
const LAYOUT: u64 = 1;

/// Lanes a session may have.
pub const LANES_MAX: usize = 16;
/// Rings shown.
pub const RINGS_MAX: usize = 8;
/// Instruments a session may have.
pub const INSTRUMENTS_MAX: usize = 32;
/// Results of commands kept.
pub const ANSWERS: usize = 16;
/// Stages whose progress is shown.
pub const PROGRESS_MAX: usize = 8;

const COUNTERS_AT: usize = 4096;
const LANES_AT: usize = COUNTERS_AT + COUNTERS_MAX * 8;
const RINGS_AT: usize = LANES_AT + LANES_MAX * 64;
const INSTRUMENTS_AT: usize = RINGS_AT + RINGS_MAX * 64;
const INSTRUMENT_BYTES: usize = 256;
const ANSWERS_AT: usize = INSTRUMENTS_AT + INSTRUMENTS_MAX * INSTRUMENT_BYTES;
const HISTOGRAMS_AT: usize = ANSWERS_AT + ANSWERS * 16;
const BYTES: usize = (HISTOGRAMS_AT + STAGES_MAX * histogram::BYTES).next_multiple_of(4096);

/// Offsets of the header's words.
mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const LAYOUT: usize = 8;
    pub(super) const SESSION: usize = 16;
    pub(super) const PID: usize = 24;
    pub(super) const START_UNIX_NS: usize = 32;
    pub(super) const START_HOST_NS: usize = 40;
    pub(super) const TRADING_STATE: usize = 48;
    pub(super) const KILL_SEEN_NS: usize = 56;
    pub(super) const RECONCILED: usize = 64;
    pub(super) const LIVE: usize = 72;
    pub(super) const STOPPED: usize = 80;
    pub(super) const COMMANDS_TAKEN: usize = 88;
    pub(super) const LINKS: usize = 96;
    pub(super) const BUILD: usize = 128;
    pub(super) const BUILD_BYTES: usize = 64;
    pub(super) const PROGRESS: usize = 256;
}

crate::labelled_enum! {
    /// Parts of the hot process whose progress is watched.
    pub enum Progress: u8 {
        Feed = 0, "feed", "Polls of the feed stage.";
        Engine = 1, "engine", "Polls of the engine stage.";
        Gateway = 2, "gateway", "Polls of the gateway stage.";
        Session = 3, "session", "Turns of the session thread.";
    }
}

crate::labelled_enum! {
    /// Words of a lane in the status file.
    pub enum LaneWord: u8 {
        Records = 0, "records", "Last sequence published.";
        Position = 1, "position_bytes", "Bytes published, padding included.";
        Free = 2, "free_segments", "Segments ready for the writer.";
        Dropped = 3, "telemetry_dropped", "Telemetry records dropped.";
        Skipped = 4, "inputs_skipped", "Input records skipped with a gap mark.";
        Segments = 5, "segments", "Segments in the pool.";
        SegmentBytes = 6, "segment_bytes", "Bytes of a segment.";
    }
}

crate::labelled_enum! {
    /// Words of a ring in the status file.
    pub enum RingWord: u8 {
        Capacity = 0, "capacity", "Slots of the ring.";
        Occupied = 1, "occupied", "Slots in use at the last poll.";
        OccupiedMax = 2, "occupied_max", "Most slots ever in use.";
    }
}

crate::labelled_enum! {
    /// Rings between stages.
    pub enum Ring: u8 {
        Frames = 0, "frames", "Feed to engine; full: frame dropped, its book invalid.";
        Intents = 1, "intents", "Engine to gateway; full: intent dropped, a late order is worse than none.";
        Outcomes = 2, "outcomes", "Gateway to engine; full: trading halts.";
        Snapshots = 3, "snapshots", "Session thread to engine; full: the thread tries again.";
        Account = 4, "account", "Session thread to gateway; full: the thread tries again.";
        EngineRequests = 5, "engine_requests", "Engine to session thread; full: asked again at the next timer.";
        GatewayRequests = 6, "gateway_requests", "Gateway to session thread; full: asked again at the next timer.";
    }
}

crate::labelled_enum! {
    /// Words of an instrument, after its definition.
    pub enum InstrumentWord: u8 {
        BidPrice = 0, "bid_price", "Best bid.";
        BidQty = 1, "bid_qty", "Quantity at the best bid.";
        AskPrice = 2, "ask_price", "Best ask.";
        AskQty = 3, "ask_qty", "Quantity at the best ask.";
        IsValid = 4, "book_valid", "1 while the book is complete.";
        MarkPrice = 5, "mark_price", "Mark price.";
        Position = 6, "position", "Signed position from fills.";
        EntryPriceE8 = 7, "entry_price_e8", "Average entry price x 10^8.";
        RealizedE8 = 8, "realized_e8", "Realised profit of the session before fees, quote x 10^8.";
        FeesE8 = 9, "fees_e8", "Fees of the session, quote x 10^8.";
        BookNs = 10, "book_ns", "Session time of the book's last change.";
        OpenOrders = 11, "open_orders", "Orders not yet terminal.";
    }
}

const INSTRUMENT_WORDS_AT: usize = 144;
const _: () = assert!(size_of::<InstrumentDefinition>() <= INSTRUMENT_WORDS_AT);
const _: () = assert!(INSTRUMENT_WORDS_AT + InstrumentWord::ALL.len() * 8 <= INSTRUMENT_BYTES);

/// Identity of the hot process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Session id.
    pub session: u64,
    /// Process id.
    pub pid: u32,
    /// Wall clock at session time zero, unix nanoseconds.
    pub start_unix_ns: u64,
    /// Host's monotonic clock at session time zero.
    pub start_host_ns: u64,
    /// True for live trading, false for simulation.
    pub is_live: bool,
    /// Version and profile.
    pub build: String,
}

/// The writing end, shared by the hot threads; each word has one writer.
#[derive(Debug)]
pub struct Status {
    file: MappedFile,
}

impl Status {
    /// Creates the file.
    ///
    /// # Errors
    ///
    /// Those of [`MappedFile::create`].
    pub fn create(path: &Path, identity: &Identity) -> Result<Self, MemoryError> {
        let file = MappedFile::create(path, BYTES as u64)?;
        let status = Self { file };
        status.put(at::LAYOUT, LAYOUT);
        status.put(at::SESSION, identity.session);
        status.put(at::PID, identity.pid.into());
        status.put(at::START_UNIX_NS, identity.start_unix_ns);
        status.put(at::START_HOST_NS, identity.start_host_ns);
        status.put(at::LIVE, identity.is_live.into());
        status.put(at::TRADING_STATE, TradingState::Disarmed as u64);
        let mut build = [0; at::BUILD_BYTES];
        let len = identity.build.len().min(at::BUILD_BYTES);
        build[..len].copy_from_slice(&identity.build.as_bytes()[..len]);
        status.file.copy_from(at::BUILD, &build);
        // Release, last: a reader that sees the magic sees the header.
        status.put(at::MAGIC, MAGIC);
        Ok(status)
    }

    #[inline]
    fn put(&self, offset: usize, value: u64) {
        self.file.u64_at(offset).store(value, Ordering::Release);
    }

    /// Adds to a counter; only the counter's one writer calls this.
    #[inline]
    pub fn add(&self, counter: Counter, by: u64) {
        let word = self.file.u64_at(COUNTERS_AT + counter as usize * 8);
        word.store(word.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    /// Value of a counter.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.file.u64_at(COUNTERS_AT + counter as usize * 8).load(Ordering::Relaxed)
    }

    /// The histogram of a stage; only its one writer records.
    #[inline]
    pub fn histogram(&self, stage: Stage) -> Histogram<'_> {
        Histogram::at(&self.file, HISTOGRAMS_AT + stage as usize * histogram::BYTES)
    }

    /// A stage made a turn at `now`.
    #[inline]
    pub fn progress(&self, part: Progress, now: Nanos) {
        let words = self.file.u64s_at(at::PROGRESS + part as usize * 64, 2);
        words[0].store(words[0].load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        words[1].store(now, Ordering::Relaxed);
    }

    /// Turns that a stage has made.
    pub fn turns(&self, part: Progress) -> u64 {
        self.file.u64s_at(at::PROGRESS + part as usize * 64, 2)[0].load(Ordering::Relaxed)
    }

    /// Publishes the trading state.
    pub fn set_trading_state(&self, state: TradingState) {
        self.put(at::TRADING_STATE, state as u64);
    }

    /// Publishes when the kill word was last seen set; 0 when it is clear.
    pub fn set_kill_seen(&self, now: Nanos) {
        self.put(at::KILL_SEEN_NS, now);
    }

    /// The account is reconciled.
    pub fn is_reconciled(&self) -> bool {
        self.file.u64_at(at::RECONCILED).load(Ordering::Acquire) == 1
    }

    /// Publishes that the account is reconciled.
    pub fn set_reconciled(&self, is_reconciled: bool) {
        self.put(at::RECONCILED, is_reconciled.into());
    }

    /// Publishes which connections are up, one bit each.
    pub fn set_links(&self, bits: u64) {
        self.put(at::LINKS, bits);
    }

    /// Publishes that the process stopped in order.
    pub fn set_stopped(&self) {
        self.put(at::STOPPED, 1);
    }

    /// Publishes a word of a lane.
    #[inline]
    pub fn set_lane(&self, lane: u16, word: LaneWord, value: u64) {
        let offset = LANES_AT + usize::from(lane) * 64 + word as usize * 8;
        self.file.u64_at(offset).store(value, Ordering::Relaxed);
    }

    /// Publishes how many slots of a ring are in use.
    #[inline]
    pub fn set_ring(&self, ring: Ring, capacity: usize, occupied: usize) {
        let words = self.file.u64s_at(RINGS_AT + ring as usize * 64, RingWord::ALL.len());
        words[RingWord::Capacity as usize].store(capacity as u64, Ordering::Relaxed);
        words[RingWord::Occupied as usize].store(occupied as u64, Ordering::Relaxed);
        let max = &words[RingWord::OccupiedMax as usize];
        if occupied as u64 > max.load(Ordering::Relaxed) {
            max.store(occupied as u64, Ordering::Relaxed);
        }
    }

    /// Publishes an instrument's definition.
    pub fn set_definition(&self, definition: &InstrumentDefinition) {
        let offset = INSTRUMENTS_AT + definition.instrument as usize * INSTRUMENT_BYTES;
        self.file.copy_from(offset, definition.as_bytes());
    }

    /// Publishes a word of an instrument.
    #[inline]
    pub fn set_instrument(&self, instrument: u32, word: InstrumentWord, value: i64) {
        let offset = instrument_word(instrument as usize, word);
        self.file.u64_at(offset).store(value as u64, Ordering::Relaxed);
    }

    /// Publishes what changes with every tick of an instrument: best bid and ask with their quantities, whether the
    /// book is complete, session time of its last change.
    #[inline]
    pub fn set_top(&self, instrument: u32, gauges: [i64; 6]) {
        const WORDS: [InstrumentWord; 6] = [
            InstrumentWord::BidPrice,
            InstrumentWord::BidQty,
            InstrumentWord::AskPrice,
            InstrumentWord::AskQty,
            InstrumentWord::IsValid,
            InstrumentWord::BookNs,
        ];
        let first = instrument_word(instrument as usize, InstrumentWord::BidPrice);
        let words = self.file.u64s_at(first, InstrumentWord::ALL.len());
        for (word, value) in WORDS.into_iter().zip(gauges) {
            words[word as usize].store(value as u64, Ordering::Relaxed);
        }
    }

    /// A word of an instrument, read back by the hot process itself.
    pub fn instrument(&self, instrument: u32, word: InstrumentWord) -> i64 {
        self.file.u64_at(instrument_word(instrument as usize, word)).load(Ordering::Relaxed) as i64
    }

    /// Publishes how many commands were taken, and answer number `number`, to the command `id`.
    pub fn answer(&self, taken: u64, number: u64, id: u64, outcome: u16) {
        let slot = self.file.u64s_at(ANSWERS_AT + (number as usize % ANSWERS) * 16, 2);
        slot[1].store(outcome.into(), Ordering::Relaxed);
        slot[0].store(id, Ordering::Release);
        self.put(at::COMMANDS_TAKEN, taken);
    }
}

const fn instrument_word(instrument: usize, word: InstrumentWord) -> usize {
    INSTRUMENTS_AT + instrument * INSTRUMENT_BYTES + INSTRUMENT_WORDS_AT + word as usize * 8
}

/// The reading end.
#[derive(Debug)]
pub struct StatusReader {
    file: ReadOnlyFile,
}

impl StatusReader {
    /// Opens the file of a session.
    ///
    /// # Errors
    ///
    /// When it is missing, too short, of another layout or not written yet.
    pub fn open(path: &Path) -> Result<Self, MemoryError> {
        let file = MappedFile::open_read_only(path, BYTES as u64)?;
        let (magic, layout) = (file.load_u64(at::MAGIC), file.load_u64(at::LAYOUT));
        if magic != MAGIC || layout != LAYOUT {
            let text = format!("status layout {layout} (magic {magic:#x}), this build reads {LAYOUT}");
            return Err(MemoryError::Io { path: path.to_owned(), source: std::io::Error::other(text) });
        }
        Ok(Self { file })
    }

    /// Who writes the file.
    pub fn identity(&self) -> Identity {
        let mut build = [0; at::BUILD_BYTES];
        self.file.copy_to(at::BUILD, &mut build);
        Identity {
            session: self.file.load_u64(at::SESSION),
            pid: self.file.load_u64(at::PID) as u32,
            start_unix_ns: self.file.load_u64(at::START_UNIX_NS),
            start_host_ns: self.file.load_u64(at::START_HOST_NS),
            is_live: self.file.load_u64(at::LIVE) == 1,
            build: String::from_utf8_lossy(&build).trim_end_matches('\0').to_owned(),
        }
    }

    /// Value of a counter.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.file.load_u64(COUNTERS_AT + counter as usize * 8)
    }

    /// Copy of a stage's histogram.
    pub fn histogram(&self, stage: Stage) -> HistogramCopy {
        let offset = HISTOGRAMS_AT + stage as usize * histogram::BYTES;
        HistogramCopy::read(|word| self.file.load_u64(offset + word * 8))
    }

    /// Turns a part has made and the session time of the last one.
    pub fn progress(&self, part: Progress) -> (u64, Nanos) {
        let offset = at::PROGRESS + part as usize * 64;
        (self.file.load_u64(offset), self.file.load_u64(offset + 8))
    }

    /// The trading state.
    pub fn trading_state(&self) -> TradingState {
        let value = self.file.load_u64(at::TRADING_STATE) as u8;
        TradingState::from_repr(value).unwrap_or(TradingState::Halted)
    }

    /// Session time when the kill word was seen set, `None` while it is clear.
    pub fn kill_seen(&self) -> Option<Nanos> {
        Some(self.file.load_u64(at::KILL_SEEN_NS)).filter(|&ns| ns != 0)
    }

    /// The account is reconciled.
    pub fn is_reconciled(&self) -> bool {
        self.file.load_u64(at::RECONCILED) == 1
    }

    /// Which connections are up, one bit each.
    pub fn links(&self) -> u64 {
        self.file.load_u64(at::LINKS)
    }

    /// The process stopped in order.
    pub fn is_stopped(&self) -> bool {
        self.file.load_u64(at::STOPPED) == 1
    }

    /// A word of a lane.
    pub fn lane(&self, lane: u16, word: LaneWord) -> u64 {
        self.file.load_u64(LANES_AT + usize::from(lane) * 64 + word as usize * 8)
    }

    /// A word of a ring.
    pub fn ring(&self, ring: Ring, word: RingWord) -> u64 {
        self.file.load_u64(RINGS_AT + ring as usize * 64 + word as usize * 8)
    }

    /// Definition of an instrument; `None` for a slot that is not in use.
    pub fn definition(&self, instrument: usize) -> Option<InstrumentDefinition> {
        let mut bytes = [0; size_of::<InstrumentDefinition>()];
        self.file.copy_to(INSTRUMENTS_AT + instrument * INSTRUMENT_BYTES, &mut bytes);
        let definition = InstrumentDefinition::read_from_bytes(&bytes).ok()?;
        (definition.fault().is_none()).then_some(definition)
    }

    /// Definitions of all instruments in use.
    pub fn definitions(&self) -> Vec<InstrumentDefinition> {
        (0..INSTRUMENTS_MAX).map_while(|i| self.definition(i)).collect()
    }

    /// A word of an instrument.
    pub fn instrument(&self, instrument: u32, word: InstrumentWord) -> i64 {
        self.file.load_u64(instrument_word(instrument as usize, word)) as i64
    }

    /// Outcome of the command `id`, while it is among the last [`ANSWERS`].
    pub fn answer_to(&self, id: u64) -> Option<u16> {
        (0..ANSWERS)
            .map(|i| ANSWERS_AT + i * 16)
            .find(|&at| self.file.load_u64(at) == id)
            .map(|at| self.file.load_u64(at + 8) as u16)
    }

    /// Commands the hot process has taken.
    pub fn commands_taken(&self) -> u64 {
        self.file.load_u64(at::COMMANDS_TAKEN)
    }
}
