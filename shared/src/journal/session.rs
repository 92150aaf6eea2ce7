//! Reading whole sessions: the archive first, then what a sealed or dead session left unarchived.

use super::{ArchiveError, ArchiveReader, LaneReader, ReadError, RecordBuf};
use crate::paths::DataDir;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Why a session could not be found.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The directory cannot be read.
    #[error("{}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing there.
    #[error("no lane of session {session} in {}", path.display())]
    Empty {
        /// The data directory.
        path: PathBuf,
        /// The session.
        session: u64,
    },
    /// An archive of the session cannot be opened.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A lane of the session cannot be opened.
    #[error(transparent)]
    Lane(#[from] ReadError),
}

/// Why a lane could not be read on.
#[derive(Debug, Error)]
pub enum StreamError {
    /// In its archived part.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// In its shared memory.
    #[error(transparent)]
    Lane(#[from] ReadError),
}

/// All records of one lane of a session, in order.
pub struct LaneStream {
    lane: u16,
    name: String,
    metadata: String,
    archive: Option<ArchiveReader>,
    live: Option<LaneReader>,
    sequence: u64,
}

impl LaneStream {
    /// Number of the lane.
    pub fn lane(&self) -> u16 {
        self.lane
    }

    /// Name of the lane.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The lane's description of itself.
    pub fn metadata(&self) -> &str {
        &self.metadata
    }

    /// Last sequence read.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Reads the next record; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`StreamError`] at the first record that is not sound.
    pub fn next_into(&mut self, out: &mut RecordBuf) -> Result<Option<()>, StreamError> {
        if let Some(archive) = &mut self.archive {
            if archive.next_into(out)?.is_some() {
                self.sequence = archive.sequence();
                return Ok(Some(()));
            }
            if let Some(live) = &mut self.live {
                live.seek(archive.position(), archive.sequence());
            }
            self.archive = None;
        }
        let Some(live) = &mut self.live else {
            return Ok(None);
        };
        let found = live.next_into(out)?;
        if found.is_some() {
            self.sequence = live.sequence();
        }
        Ok(found)
    }
}

/// Sessions of a data directory, oldest first: archived ones and the current one.
///
/// # Errors
///
/// [`SessionError::Io`] when the directory cannot be read.
pub fn list_sessions(data: &DataDir) -> Result<Vec<u64>, SessionError> {
    let io = |source| SessionError::Io { path: data.root().to_owned(), source };
    let mut sessions: Vec<u64> = match fs::read_dir(data.archive()) {
        Ok(entries) => entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(io(e)),
    };
    sessions.extend(data.current_session().map_err(io)?.map(|c| c.session));
    sessions.sort_unstable();
    sessions.dedup();
    Ok(sessions)
}

/// Opens every lane of a session, by lane number.
///
/// # Errors
///
/// [`SessionError`].
pub fn open_session(data: &DataDir, session: u64) -> Result<Vec<LaneStream>, SessionError> {
    let io = |source| SessionError::Io { path: data.root().to_owned(), source };
    let mut lanes: BTreeMap<u16, LaneStream> = BTreeMap::new();
    for (lane, name, path) in lane_files(&data.archive().join(session.to_string())) {
        let archive = ArchiveReader::open(&path)?;
        let metadata = archive.metadata().to_owned();
        let name = name.trim_end_matches(".tpa").to_owned();
        lanes.insert(
            lane,
            LaneStream { lane, name, metadata, archive: Some(archive), live: None, sequence: 0 },
        );
    }
    let current = data.current_session().map_err(io)?.filter(|c| c.session == session);
    for (lane, name, path) in current.iter().flat_map(|c| lane_files(&c.shared_dir)) {
        let live = LaneReader::open(&path)?;
        let metadata = live.metadata().to_owned();
        lanes
            .entry(lane)
            .or_insert(LaneStream { lane, name, metadata, archive: None, live: None, sequence: 0 })
            .live = Some(live);
    }
    if lanes.is_empty() {
        return Err(SessionError::Empty { path: data.root().to_owned(), session });
    }
    Ok(lanes.into_values().collect())
}

/// Files called `lane-NN-name` in a directory; none when it does not exist.
fn lane_files(dir: &Path) -> Vec<(u16, String, PathBuf)> {
    let parse = |path: PathBuf| {
        let file = path.file_name()?.to_str()?.strip_prefix("lane-")?;
        let (lane, name) = file.split_once('-')?;
        Some((lane.parse().ok()?, name.to_owned(), path))
    };
    fs::read_dir(dir).map_or_else(|_| Vec::new(), |d| d.flatten().filter_map(|e| parse(e.path())).collect())
}
