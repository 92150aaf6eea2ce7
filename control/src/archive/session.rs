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
    /// Reading has failed for good; what was archived stays.
    is_broken: bool,
    /// Nothing new was found at the last turn.
    is_idle: bool,
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

    /// Copies what is new; writes and syncs when it is due. Returns how many records were copied.
    ///
    /// # Errors
    ///
    /// The first failure; the other lanes are served all the same.
    pub fn turn(&mut self, is_sync_due: bool) -> Result<u64, SessionArchiveError> {
        let (mut copied, mut failure) = (0, None);
        for lane in &mut self.lanes {
            match lane.turn(is_sync_due) {
                Ok(records) => {
                    copied += records;
                    self.command.acknowledge(lane.reader.spec().lane, lane.durable);
                }
                Err(e) => failure = Some(e),
            }
        }
        failure.map_or(Ok(copied), Err)
    }

    /// Bytes published and not durable.
    pub fn lag_bytes(&self) -> u64 {
        let lag = |lane: &LaneArchive| {
            let published = self.status.lane(lane.reader.spec().lane, LaneWord::Position);
            published.saturating_sub(lane.durable)
        };
        self.lanes.iter().map(lag).sum()
    }

    /// Nothing is left to archive.
    pub fn is_drained(&self) -> bool {
        self.lanes.iter().all(|lane| (lane.is_broken || lane.is_idle) && lane.durable == lane.pushed)
    }

    /// The process that wrote the session has stopped or is gone.
    pub fn is_over(&self) -> bool {
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
        Ok(Self { reader, writer, pushed: position, durable: position, is_broken: false, is_idle: false })
    }

    fn turn(&mut self, is_sync_due: bool) -> Result<u64, SessionArchiveError> {
        let copied = if self.is_broken { 0 } else { self.copy()? };
        self.is_idle = copied == 0;
        if self.writer.pending_bytes() >= BLOCK_BYTES || (is_sync_due && self.writer.pending_bytes() > 0) {
            self.writer.write_block(self.pushed)?;
        }
        if is_sync_due && self.durable != self.pushed && self.writer.pending_bytes() == 0 {
            self.writer.sync()?;
            self.durable = self.pushed;
        }
        Ok(copied)
    }

    fn copy(&mut self) -> Result<u64, SessionArchiveError> {
        // The open block is bounded: while the disk refuses, nothing more is taken out of the lane.
        if self.writer.pending_bytes() > 4 * BLOCK_BYTES {
            return Ok(0);
        }
        self.reader.check_file().inspect_err(|_| self.is_broken = true)?;
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
                    self.is_broken = true;
                    return Err(e.into());
                }
            }
        }
        Ok(BATCH)
    }
}
