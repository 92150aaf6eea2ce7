//! Where archived records go: each sink is told of them in order, keeps for itself how far it has come, and is told
//! again of what it had not kept for good. Records are named by session, lane and sequence, so that whoever reads a sink
//! sees each of them once.

mod lines;

pub use lines::LineSink;

use crate::store::StoreError;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tickpath_shared::{
    journal::{ArchiveError, ArchiveReader, RecordBuf},
    paths::DataDir,
    record::{Kind, Record},
    types::{Grid, InstrumentDefinition, Symbol, decimal::pow10},
};

/// Records between two commits at most.
const BATCH: u64 = 5_000;
const PAUSE: Duration = Duration::from_millis(50);
/// Pause before an archive is tried again that could not be read.
const AGAIN: Duration = Duration::from_secs(5);

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

/// Readers of the archives, kept open between two calls, on behalf of one sink. Sessions that are over and handed over
/// whole are closed: their files may go.
#[derive(Default)]
pub struct Follower {
    lanes: BTreeMap<(u64, u16), Lane>,
    /// Folders of which nothing more is to come.
    finished: BTreeSet<PathBuf>,
    /// Archives that cannot be read on.
    troubled: BTreeMap<PathBuf, Trouble>,
}

/// Why an archive cannot be read on.
struct Trouble {
    error: ArchiveError,
    /// When it is read from its start again; `None` for damage of what is not written any more.
    again: Option<Instant>,
}

/// A session's folder.
struct Folder {
    path: PathBuf,
    /// Nothing more will be written to it.
    is_sealed: bool,
}

impl Follower {
    /// Hands over what is new in every archive, oldest session first, and returns how many records that were. An archive
    /// that is damaged keeps no other from being handed over: see [`Self::damage`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the sink or the folder; whole blocks are kept. The sink may have come less far than the follower
    /// has read: [`Self::start_again`].
    pub fn catch_up(&mut self, sink: &mut impl Sink, data: &DataDir) -> Result<u64, StoreError> {
        let folders = self.open_new(sink, &data.archive())?;
        let (mut handed, mut troubled) = (0, Vec::new());
        for (&(session, lane), state) in &mut self.lanes {
            match state.hand_over_all(sink, session, lane) {
                Ok(records) => handed += records,
                Err(StoreError::Archive(e)) => troubled.push((state.reader.path().to_owned(), e)),
                Err(e) => return Err(e),
            }
        }
        for (path, error) in troubled {
            let is_sealed = folders.iter().any(|folder| folder.is_sealed && path.starts_with(&folder.path));
            self.lanes.retain(|_, lane| lane.reader.path() != path);
            self.note(path, error, is_sealed);
        }
        for folder in folders.into_iter().filter(|folder| folder.is_sealed) {
            let is_in = |path: &Path| path.starts_with(&folder.path);
            if !self.troubled.iter().any(|(path, trouble)| is_in(path) && trouble.again.is_some()) {
                self.lanes.retain(|_, lane| !is_in(lane.reader.path()));
                self.finished.insert(folder.path);
            }
        }
        Ok(handed)
    }

    /// What is still written may have been cut back to where it was durable, and a disk may answer again later.
    fn note(&mut self, path: PathBuf, error: ArchiveError, is_sealed: bool) {
        let is_for_good = is_sealed && is_damage(&error);
        let again = (!is_for_good).then(|| Instant::now() + AGAIN);
        self.troubled.insert(path, Trouble { error, again });
    }

    /// Reads on from where the sink has come to.
    pub fn start_again(&mut self) {
        self.lanes.clear();
    }

    /// Archives that cannot be read on, and why not.
    pub fn damage(&self) -> impl Iterator<Item = &ArchiveError> {
        self.troubled.values().map(|trouble| &trouble.error)
    }

    /// The first archive that cannot be read on.
    ///
    /// # Errors
    ///
    /// [`StoreError::Archive`] for it.
    pub fn whole(self) -> Result<(), StoreError> {
        self.troubled.into_values().next().map_or(Ok(()), |trouble| Err(trouble.error.into()))
    }

    /// Opens what is not open yet, closes what is gone, and returns the folders that are not finished.
    fn open_new(&mut self, sink: &mut impl Sink, archive: &Path) -> Result<Vec<Folder>, StoreError> {
        let Ok(sessions) = std::fs::read_dir(archive) else { return Ok(Vec::new()) };
        let present: BTreeSet<PathBuf> = sessions.flatten().map(|entry| entry.path()).collect();
        let is_there = |file: &Path| file.parent().is_some_and(|folder| present.contains(folder));
        self.finished.retain(|folder| present.contains(folder));
        self.troubled.retain(|file, trouble| {
            is_there(file) && trouble.again.is_none_or(|again| Instant::now() < again)
        });
        self.lanes.retain(|_, lane| is_there(lane.reader.path()));
        let mut folders = Vec::new();
        for path in &present - &self.finished {
            // Before its files are read: what is sealed is read to its end.
            let is_sealed = path.join("sealed").exists();
            for file in std::fs::read_dir(&path)?.flatten() {
                self.open(sink, &file.path(), is_sealed)?;
            }
            folders.push(Folder { path, is_sealed });
        }
        Ok(folders)
    }

    fn open(&mut self, sink: &mut impl Sink, path: &Path, is_sealed: bool) -> Result<(), StoreError> {
        let is_open = self.lanes.values().any(|lane| lane.reader.path() == path);
        if path.extension().is_none_or(|e| e != "tpa") || is_open || self.troubled.contains_key(path) {
            return Ok(());
        }
        let reader = match ArchiveReader::open(path) {
            Ok(reader) => reader,
            // A file whose head is not written yet is found again at the next turn.
            Err(e) => {
                if is_sealed || !is_damage(&e) {
                    self.note(path.to_owned(), e, is_sealed);
                }
                return Ok(());
            }
        };
        let key = (reader.session(), reader.lane());
        if is_sealed && is_kept_whole(sink, key, path)? {
            return Ok(());
        }
        let (start_unix_ns, definitions) = begun_with(reader.metadata());
        self.lanes.insert(key, Lane { reader, start_unix_ns, definitions });
        Ok(())
    }
}

/// It lies in the file, not in the reading.
fn is_damage(e: &ArchiveError) -> bool {
    match e {
        ArchiveError::Damaged { .. } => true,
        ArchiveError::Io { source, .. } => source.kind() == std::io::ErrorKind::UnexpectedEof,
    }
}

/// The sink has come to the end of an archive that is not written any more: there is no need to read it.
fn is_kept_whole(sink: &mut impl Sink, (session, lane): (u64, u16), path: &Path) -> Result<bool, StoreError> {
    let kept = sink.begin(session, lane);
    sink.roll_back();
    let kept = kept?;
    Ok(kept > 0 && ArchiveReader::end_of(path).is_ok_and(|end| end == kept))
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
    /// Hands over block after block.
    fn hand_over_all(&mut self, sink: &mut impl Sink, session: u64, lane: u16) -> Result<u64, StoreError> {
        let mut handed = 0;
        loop {
            let records = self.hand_over(sink, session, lane)?;
            handed += records;
            if records == 0 {
                return Ok(handed);
            }
        }
    }

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
        while read < BATCH {
            match self.reader.next_into(&mut buf) {
                Ok(Some(())) => read += 1,
                Ok(None) => break,
                // What came before the damage is kept; the next block begins with it.
                Err(_) if read > 0 => break,
                Err(e) => return Err(e.into()),
            }
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
            let mut failing = String::new();
            loop {
                let is_last = stop.load(Ordering::Relaxed);
                let result = follower.catch_up(&mut sink, &data);
                told.records.fetch_add(*result.as_ref().unwrap_or(&0), Ordering::Relaxed);
                let mut why: Vec<String> = follower.damage().map(ToString::to_string).collect();
                if let Err(e) = result {
                    why.push(e.to_string());
                    // Readers may be in the middle of a block: start from the cursor again.
                    follower.start_again();
                }
                let why = why.join("; ");
                told.is_failing.store(!why.is_empty(), Ordering::Relaxed);
                if !why.is_empty() && why != failing {
                    tracing::error!(error = why, "{name} failed; tried again until it succeeds");
                }
                failing = why;
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

#[cfg(test)]
mod tests {
    use super::*;
    use tickpath_shared::{
        journal::{ArchiveWriter, Lane as Writer, LaneReader, LaneSpec, archive_path, lane_path},
        record::{Cause, Class},
    };

    /// Cursors, and the records taken so far.
    #[derive(Default)]
    struct Kept {
        cursors: BTreeMap<(u64, u16), u64>,
        lane: (u64, u16),
        taken: Vec<(u64, u64)>,
    }

    impl Sink for Kept {
        fn begin(&mut self, session: u64, lane: u16) -> Result<u64, StoreError> {
            self.lane = (session, lane);
            Ok(self.cursors.get(&self.lane).copied().unwrap_or(0))
        }

        fn take(&mut self, record: &Archived<'_>) -> Result<(), StoreError> {
            self.taken.push((record.session, record.record.header.sequence));
            Ok(())
        }

        fn commit(&mut self, sequence: u64) -> Result<(), StoreError> {
            self.cursors.insert(self.lane, sequence);
            Ok(())
        }

        fn roll_back(&mut self) {}
    }

    /// An archive of so many records, a block for every ten; returns its file.
    fn archive(data: &DataDir, session: u64, records: u64, is_sealed: bool) -> PathBuf {
        let dir = tempfile::tempdir().unwrap();
        let spec = LaneSpec { session, lane: 3, name: "gateway".into(), segment_bytes: 65_536, segments: 8 };
        let mut lane = Writer::create(dir.path(), spec, "{}").unwrap();
        (0..records).for_each(|at| {
            lane.append(Kind::Timer, Class::Audit, at, Cause::NONE, &[]).unwrap();
        });
        let mut reader = LaneReader::open(&lane_path(dir.path(), 3, "gateway")).unwrap();
        let path = archive_path(&data.archive(), session, 3, "gateway");
        let (mut writer, report) = ArchiveWriter::open(&path, session, 3, "{}").unwrap();
        let mut buf = RecordBuf::default();
        while reader.next_into(&mut buf).unwrap().is_some() {
            if buf.record().header.sequence > report.sequence {
                writer.push(&buf);
            }
            if reader.sequence().is_multiple_of(10) {
                writer.write_block(reader.position()).unwrap();
            }
        }
        writer.sync().unwrap();
        if is_sealed {
            std::fs::write(path.with_file_name("sealed"), "complete\n").unwrap();
        }
        path
    }

    #[test]
    fn a_damaged_archive_keeps_no_other_from_being_handed_over() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let files = [1, 2, 3].map(|session| archive(&data, session, 30, session < 3));
        let mut bytes = std::fs::read(&files[1]).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&files[1], &bytes).unwrap();
        let (mut follower, mut kept) = (Follower::default(), Kept::default());
        for _ in 0..3 {
            follower.catch_up(&mut kept, &data).unwrap();
            assert_eq!(follower.damage().count(), 1);
        }
        let of = |session: u64| (1..=30).map(move |sequence| (session, sequence));
        // Two of its three blocks come before the damage.
        assert_eq!(kept.taken, of(1).chain(of(2).take(20)).chain(of(3)).collect::<Vec<_>>());
        assert_eq!(kept.cursors[&(2, 3)], 20);
        // Away with it, and nothing is wrong any more.
        std::fs::remove_dir_all(files[1].parent().unwrap()).unwrap();
        follower.catch_up(&mut kept, &data).unwrap();
        assert_eq!(follower.damage().count(), 0);
        follower.whole().unwrap();
    }

    /// After a failed sync the archiver cuts back what was read already, and writes it otherwise.
    #[test]
    fn an_archive_that_is_still_written_is_read_from_its_start_again() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let file = archive(&data, 1, 20, false);
        let short = std::fs::read(&file).unwrap();
        archive(&data, 1, 30, false);
        let (mut follower, mut kept) = (Follower::default(), Kept::default());
        assert_eq!(follower.catch_up(&mut kept, &data).unwrap(), 30);
        // Other bytes where it goes on.
        let at = follower.lanes[&(1, 3)].reader.path().to_owned();
        std::fs::write(&at, [&short[..], &[7; 4096]].concat()).unwrap();
        follower.lanes.values_mut().for_each(|lane| lane.reader = ArchiveReader::open(&at).unwrap());
        follower.catch_up(&mut kept, &data).unwrap();
        assert_eq!(follower.damage().count(), 1);
        std::fs::write(&at, &short).unwrap();
        archive(&data, 1, 40, true);
        // Its time has come.
        follower
            .troubled
            .values_mut()
            .for_each(|trouble| trouble.again = trouble.again.map(|_| Instant::now()));
        follower.catch_up(&mut kept, &data).unwrap();
        assert_eq!((follower.damage().count(), follower.finished.len()), (0, 1));
        assert_eq!(kept.taken, (1..=40).map(|sequence| (1, sequence)).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_over_and_handed_over_is_closed_and_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let files = [archive(&data, 1, 30, true), archive(&data, 2, 20, false)];
        let (mut follower, mut kept) = (Follower::default(), Kept::default());
        assert_eq!(follower.catch_up(&mut kept, &data).unwrap(), 50);
        assert_eq!(follower.lanes.keys().collect::<Vec<_>>(), [&(2, 3)]);
        // It grows, and ends.
        archive(&data, 2, 30, true);
        assert_eq!(follower.catch_up(&mut kept, &data).unwrap(), 10);
        assert!(follower.lanes.is_empty() && follower.finished.len() == 2);
        assert_eq!(follower.catch_up(&mut kept, &data).unwrap(), 0);
        // Another process finds by the ends alone that there is nothing to read.
        let mut bytes = std::fs::read(&files[0]).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&files[0], &bytes).unwrap();
        let mut again = Follower::default();
        assert_eq!(again.catch_up(&mut kept, &data).unwrap(), 0);
        assert!(again.lanes.is_empty() && again.damage().count() == 0);
        assert_eq!(kept.taken.len(), 60);
    }
}
