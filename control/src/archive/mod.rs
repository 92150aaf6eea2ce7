//! The archiver: copies lanes to disk, syncs, and acknowledges what is durable, so that the hot process can
//! reuse the segments. Sessions whose process is gone are drained and their shared memory removed.

mod session;

use session::SessionArchive;
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

/// What the archiver tells the rest of the process.
#[derive(Debug, Default)]
pub struct ArchiveGauges {
    /// Records archived by this process.
    pub records: AtomicU64,
    /// Bytes published and not durable, over all lanes.
    pub lag_bytes: AtomicU64,
    /// Failures: disk full, damaged or missing lane.
    pub errors: AtomicU64,
    /// The last attempt failed.
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
        let mut worker = Worker { data, gauges: Arc::clone(&gauges), sessions: BTreeMap::new(), told: None };
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
    /// Last failure logged, so that a lasting one is logged once.
    told: Option<String>,
}

impl Worker {
    fn run(&mut self, stop: &AtomicBool) {
        let mut next_sync = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            self.find_sessions();
            let is_due = Instant::now() >= next_sync;
            if is_due {
                next_sync = Instant::now() + SYNC_EVERY;
            }
            if self.turn(is_due) == 0 {
                std::thread::sleep(PAUSE);
            }
        }
        self.find_sessions();
        // The hot process has stopped before us: whatever it published is there.
        while self.turn(true) > 0 {}
    }

    /// The current session, and whatever earlier ones left beside it.
    fn find_sessions(&mut self) {
        let Ok(Some(CurrentSession { shared_dir, .. })) = self.data.current_session() else { return };
        let Some(base) = shared_dir.parent() else { return };
        let dirs = std::fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path());
        let found: Vec<PathBuf> = dirs.filter(|dir| !self.sessions.contains_key(dir)).collect();
        for dir in found {
            let is_current = dir == shared_dir;
            match SessionArchive::open(&self.data, &dir) {
                Ok(Some(session)) => {
                    tracing::info!(session = session.session(), "archiving session");
                    self.sessions.insert(dir, session);
                }
                // Being created, or a stray folder.
                Ok(None) => {}
                Err(e) if is_current => self.fail(&e.to_string()),
                Err(e) => tracing::debug!(dir = %dir.display(), error = %e, "not a session"),
            }
        }
    }

    /// One turn over all sessions; returns how many records were copied.
    fn turn(&mut self, is_sync_due: bool) -> u64 {
        let (mut copied, mut lag_bytes, mut failure, mut finished) = (0, 0, None, Vec::new());
        for (dir, session) in &mut self.sessions {
            match session.turn(is_sync_due) {
                Ok(records) => copied += records,
                Err(e) => failure = Some(e.to_string()),
            }
            lag_bytes += session.lag_bytes();
            // Whether it is the current one says nothing: a session exists before it is announced.
            if session.is_drained() && session.is_over() {
                finished.push(dir.clone());
            }
        }
        self.gauges.records.fetch_add(copied, Ordering::Relaxed);
        self.gauges.lag_bytes.store(lag_bytes, Ordering::Relaxed);
        match failure {
            Some(why) => self.fail(&why),
            None => {
                self.gauges.is_failing.store(false, Ordering::Relaxed);
                self.told = None;
            }
        }
        for dir in finished {
            self.seal(&dir);
        }
        copied
    }

    /// A dead session is wholly on disk: its shared memory goes.
    fn seal(&mut self, dir: &PathBuf) {
        let Some(session) = self.sessions.remove(dir) else { return };
        let number = session.session();
        if let Err(e) = session.seal() {
            self.fail(&e.to_string());
            return;
        }
        if let Err(e) = std::fs::remove_dir_all(dir) {
            self.fail(&format!("{}: {e}", dir.display()));
            return;
        }
        // The folder above is shared with later sessions and only goes when it is empty.
        if let Some(base) = dir.parent() {
            let _ = std::fs::remove_dir(base);
        }
        tracing::info!(session = number, "session sealed");
    }

    fn fail(&mut self, why: &str) {
        self.gauges.errors.fetch_add(1, Ordering::Relaxed);
        self.gauges.is_failing.store(true, Ordering::Relaxed);
        if self.told.as_deref() != Some(why) {
            tracing::error!(error = why, "archiving failed; tried again until it succeeds");
            self.told = Some(why.to_owned());
        }
    }
}
