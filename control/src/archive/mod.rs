//! The archiver: copies lanes to disk, syncs, and acknowledges what is durable, so that the hot process can
//! reuse the segments. Sessions whose process is gone are drained and their shared memory removed.

mod session;

use session::{SessionArchive, SessionArchiveError};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tickpath_shared::paths::{CurrentSession, DataDir};

/// Pause between two looks at the lanes.
const PAUSE: Duration = Duration::from_millis(10);
/// Longest time that a published record waits for its sync while the archiver runs.
const SYNC_EVERY: Duration = Duration::from_millis(200);

/// Pause before a session that could not be opened is tried again: its archive is read to the end for it.
const OPEN_AGAIN: Duration = Duration::from_secs(5);

/// What the archiver tells the rest of the process.
#[derive(Debug, Default)]
pub struct ArchiveGauges {
    /// Records archived by this process.
    pub records: AtomicU64,
    /// Bytes published and not durable, over all lanes.
    pub lag_bytes: AtomicU64,
    /// Failures: disk full, damaged or missing lane.
    pub errors: AtomicU64,
    /// Something failed at the last round.
    pub is_failing: AtomicBool,
}

/// The archiver's thread.
pub struct Archiver {
    thread: JoinHandle<()>,
    gauges: Arc<ArchiveGauges>,
}

impl Archiver {
    /// Starts archiving until `stop`.
    pub fn start(data: DataDir, stop: Arc<AtomicBool>) -> Self {
        let gauges = Arc::new(ArchiveGauges::default());
        let mut worker = Worker {
            data,
            gauges: Arc::clone(&gauges),
            sessions: BTreeMap::new(),
            unopened: BTreeMap::new(),
            failures: Vec::new(),
            told: Vec::new(),
        };
        let thread = std::thread::spawn(move || worker.run(&stop));
        Self { thread, gauges }
    }

    /// What it tells.
    pub fn gauges(&self) -> Arc<ArchiveGauges> {
        Arc::clone(&self.gauges)
    }

    /// Waits for its end.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("archiver thread panicked");
        }
    }
}

struct Worker {
    data: DataDir,
    gauges: Arc<ArchiveGauges>,
    sessions: BTreeMap<PathBuf, SessionArchive>,
    /// Sessions that could not be opened, or not ended: why, and when it is tried again.
    unopened: BTreeMap<PathBuf, (String, Instant)>,
    /// Of this round.
    failures: Vec<String>,
    /// Those logged last, so that lasting ones are logged once.
    told: Vec<String>,
}

impl Worker {
    fn run(&mut self, stop: &AtomicBool) {
        let mut next_sync = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let is_due = Instant::now() >= next_sync;
            if is_due {
                next_sync = Instant::now() + SYNC_EVERY;
            }
            if self.round(is_due) == 0 {
                std::thread::sleep(PAUSE);
            }
        }
        // The hot process has stopped before us: whatever it published is there.
        while self.round(true) > 0 {}
    }

    /// Looks at every session once; returns how many records were copied. What fails is told as long as it does.
    fn round(&mut self, is_sync_due: bool) -> u64 {
        self.failures.clear();
        self.find_sessions();
        let copied = self.turn(is_sync_due);
        self.failures.extend(self.unopened.values().map(|(why, _)| why.clone()));
        self.gauges.errors.fetch_add(self.failures.len() as u64, Ordering::Relaxed);
        self.gauges.is_failing.store(!self.failures.is_empty(), Ordering::Relaxed);
        for why in self.failures.iter().filter(|why| !self.told.contains(why)) {
            tracing::error!(error = why, "archiving failed; tried again until it succeeds");
        }
        self.told.clone_from(&self.failures);
        copied
    }

    /// The current session, and whatever earlier ones left beside it.
    fn find_sessions(&mut self) {
        let Ok(Some(CurrentSession { shared_dir, .. })) = self.data.current_session() else { return };
        let Some(base) = shared_dir.parent() else { return };
        let dirs = std::fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path());
        let found: Vec<PathBuf> = dirs.filter(|dir| !self.sessions.contains_key(dir)).collect();
        self.unopened.retain(|dir, (_, again)| found.contains(dir) && Instant::now() < *again);
        for dir in found {
            if !self.unopened.contains_key(&dir) {
                self.open(dir.clone(), dir == shared_dir);
            }
        }
    }

    fn open(&mut self, dir: PathBuf, is_current: bool) {
        match SessionArchive::open(&self.data, &dir) {
            Ok(Some(session)) => {
                tracing::info!(session = session.session(), "archiving session");
                self.sessions.insert(dir, session);
            }
            // Being created, or a stray folder.
            Ok(None) => {}
            Err(SessionArchiveError::Memory(e)) if !is_current => {
                tracing::debug!(dir = %dir.display(), error = %e, "not a session");
            }
            Err(e) => {
                self.unopened.insert(dir, (e.to_string(), Instant::now() + OPEN_AGAIN));
            }
        }
    }

    /// One turn over all sessions; returns how many records were copied.
    fn turn(&mut self, is_sync_due: bool) -> u64 {
        let (mut copied, mut lag_bytes, mut complete) = (0, 0, Vec::new());
        for (dir, session) in &mut self.sessions {
            let turn = session.turn(is_sync_due);
            copied += turn.records;
            self.failures.extend(turn.failure.map(|e| e.to_string()));
            // Whether it is the current one says nothing: a session exists before it is announced.
            if turn.is_complete {
                complete.push(dir.clone());
            }
            lag_bytes += session.lag_bytes();
        }
        self.gauges.records.fetch_add(copied, Ordering::Relaxed);
        self.gauges.lag_bytes.store(lag_bytes, Ordering::Relaxed);
        for dir in complete {
            if let Err(why) = self.seal(&dir) {
                self.unopened.insert(dir, (why, Instant::now() + OPEN_AGAIN));
            }
        }
        copied
    }

    /// A dead session is wholly on disk: its shared memory goes.
    fn seal(&mut self, dir: &PathBuf) -> Result<(), String> {
        let Some(session) = self.sessions.remove(dir) else { return Ok(()) };
        let number = session.session();
        session.seal().map_err(|e| e.to_string())?;
        std::fs::remove_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        // The folder above is shared with later sessions and only goes when it is empty.
        if let Some(base) = dir.parent() {
            let _ = std::fs::remove_dir(base);
        }
        tracing::info!(session = number, "session sealed");
        Ok(())
    }
}
