//! Archiving one session: its lanes, their archives, the acknowledgements.

use std::path::{Path, PathBuf};
use thiserror::Error;
use tickpath_shared::{
    command::CommandSender,
    journal::{ArchiveError, ArchiveWriter, LaneReader, ReadError, RecordBuf, archive_path},
    memory::MemoryError,
    paths::{DataDir, replace_file},
    status::{LaneWord, StatusReader},
};

/// Records copied from one lane before the others get their turn.
const BATCH: u64 = 20_000;
/// Bytes of a block that are written without waiting for the next sync.
const BLOCK_BYTES: usize = 1 << 20;

/// Why a session cannot be archived on.
#[derive(Debug, Error)]
pub enum SessionArchiveError {
    /// A lane cannot be read.
    #[error(transparent)]
    Lane(#[from] ReadError),
    /// An archive cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A lane could not be read on at an earlier turn.
    #[error("{0}; the rest of the lane is not archived")]
    Broken(String),
    /// Status or command file.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The file system refused.
    #[error("archive of session {session}: {source}")]
    Io {
        /// The session.
        session: u64,
        /// What the system said.
        source: std::io::Error,
    },
}

/// One session being archived.
pub struct SessionArchive {
    session: u64,
    dir: PathBuf,
    lanes: Vec<LaneArchive>,
    command: CommandSender,
    status: StatusReader,
}

struct LaneArchive {
    reader: LaneReader,
    writer: ArchiveWriter,
    /// Position after the last record pushed.
    pushed: u64,
    /// Position that is durable and acknowledged.
    durable: u64,
    /// Why reading has failed for good; what was archived stays.
    broken: Option<String>,
    /// Nothing new was found at the last turn.
    is_idle: bool,
}

/// What a turn did.
#[derive(Debug)]
pub struct Turn {
    /// Records copied.
    pub records: u64,
    /// Nothing will follow, and everything is durable.
    pub is_complete: bool,
    /// The first failure, at every turn while it lasts; the other lanes were served all the same.
    pub failure: Option<SessionArchiveError>,
}

impl SessionArchive {
    /// Opens a session's directory; `None` while it is being created or when it is none.
    ///
    /// # Errors
    ///
    /// [`SessionArchiveError`].
    pub fn open(data: &DataDir, dir: &Path) -> Result<Option<Self>, SessionArchiveError> {
        let (status_path, command_path) = (dir.join("status"), dir.join("command"));
        if !status_path.exists() || !command_path.exists() {
            return Ok(None);
        }
        let status = StatusReader::open(&status_path)?;
        let command = CommandSender::open(&command_path)?;
        let session = status.identity().session;
        let io = |source| SessionArchiveError::Io { session, source };
        let mut lanes = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(io)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("lane-") {
                lanes.push(LaneArchive::open(data, session, &entry.path())?);
            }
        }
        Ok(Some(Self { session, dir: data.archive().join(session.to_string()), lanes, command, status }))
    }

    /// The session.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Copies what is new; writes and syncs when it is due.
    pub fn turn(&mut self, is_sync_due: bool) -> Turn {
        // Before the look at the lanes: what a process published just before its end is found by this look or by the next.
        let is_over = self.is_over();
        let (mut records, mut failure) = (0, None);
        for lane in &mut self.lanes {
            match lane.turn(is_sync_due) {
                Ok(copied) => records += copied,
                Err(e) => failure = failure.or(Some(e)),
            }
            self.command.acknowledge(lane.reader.spec().lane, lane.durable);
        }
        let is_drained = self.lanes.iter().all(LaneArchive::is_drained);
        Turn { records, is_complete: is_over && is_drained && failure.is_none(), failure }
    }

    /// Bytes published and not durable.
    pub fn lag_bytes(&self) -> u64 {
        let lag = |lane: &LaneArchive| {
            let published = self.status.lane(lane.reader.spec().lane, LaneWord::Position);
            published.saturating_sub(lane.durable)
        };
        self.lanes.iter().map(lag).sum()
    }

    /// The process that wrote the session has stopped or is gone.
    fn is_over(&self) -> bool {
        let pid = self.status.identity().pid;
        self.status.is_stopped() || !Path::new(&format!("/proc/{pid}")).exists()
    }

    /// Marks the archive as complete.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn seal(self) -> Result<(), SessionArchiveError> {
        let session = self.session;
        replace_file(&self.dir.join("sealed"), b"complete\n")
            .map_err(|source| SessionArchiveError::Io { session, source })
    }
}

impl LaneArchive {
    fn open(data: &DataDir, session: u64, path: &Path) -> Result<Self, SessionArchiveError> {
        let mut reader = LaneReader::open(path)?;
        let (lane, name) = (reader.spec().lane, reader.spec().name.clone());
        let target = archive_path(&data.archive(), session, lane, &name);
        let (writer, report) = ArchiveWriter::open(&target, session, lane, reader.metadata())?;
        if report.sequence > 0 {
            reader.seek(report.position, report.sequence);
        }
        let position = if report.sequence > 0 { report.position } else { 0 };
        Ok(Self { reader, writer, pushed: position, durable: position, broken: None, is_idle: false })
    }

    fn is_drained(&self) -> bool {
        self.is_idle && self.durable == self.pushed
    }

    /// What was read before a lane broke is written and synced like any other.
    fn turn(&mut self, is_sync_due: bool) -> Result<u64, SessionArchiveError> {
        let copied = if self.broken.is_none() { self.copy() } else { Ok(0) };
        self.is_idle = copied.as_ref().is_ok_and(|copied| *copied == 0);
        if self.writer.pending_bytes() >= BLOCK_BYTES || (is_sync_due && self.writer.pending_bytes() > 0) {
            self.writer.write_block(self.pushed)?;
        }
        if is_sync_due && self.durable != self.pushed && self.writer.pending_bytes() == 0 {
            self.sync()?;
        }
        match &self.broken {
            Some(why) => Err(SessionArchiveError::Broken(why.clone())),
            None => copied,
        }
    }

    /// What a failed sync leaves on the disk nobody knows, and the next one may succeed without it: everything since the
    /// last is taken from the lane again.
    fn sync(&mut self) -> Result<(), SessionArchiveError> {
        let synced = self.writer.sync();
        if synced.is_ok() {
            self.durable = self.pushed;
        } else {
            self.reader.seek(self.durable, self.writer.sequence());
            self.pushed = self.durable;
        }
        Ok(synced?)
    }

    fn copy(&mut self) -> Result<u64, SessionArchiveError> {
        // The open block is bounded: while the disk refuses, nothing more is taken out of the lane.
        if self.writer.pending_bytes() > 4 * BLOCK_BYTES {
            return Ok(0);
        }
        self.reader.check_file().inspect_err(|e| self.broken = Some(e.to_string()))?;
        let mut buf = RecordBuf::default();
        for copied in 0..BATCH {
            match self.reader.next_into(&mut buf) {
                Ok(Some(())) => {
                    self.pushed = self.reader.position();
                    if self.writer.push(&buf) {
                        return Ok(copied + 1);
                    }
                }
                Ok(None) => return Ok(copied),
                Err(e) => {
                    self.broken = Some(e.to_string());
                    return Err(e.into());
                }
            }
        }
        Ok(BATCH)
    }
}
