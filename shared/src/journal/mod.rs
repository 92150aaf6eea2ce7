//! The journal: the seam between the processes.
//!
//! A *lane* is written by one stage and read by the archiver and live viewers. It is a fixed pool of
//! *segments* in one shared file, used in ring order; the `n`-th segment of a lane lies in slot
//! `n mod segments`. The archive on disk holds the same records in compressed, hash-chained blocks.

mod archive;
mod layout;
mod pool;
pub mod publish;
mod reader;
mod session;
mod writer;

pub use archive::{ArchiveError, ArchiveReader, ArchiveWriter, BlockReport, archive_path};
pub use layout::{LaneSpec, Pressure, SEGMENTS_MIN, lane_path};
pub use pool::{Lane, LaneShared};
pub use reader::{LaneReader, ReadError};
pub use session::{LaneStream, SessionError, StreamError, list_sessions, open_session};
pub use writer::{AppendError, LaneWriter, Reserved};

/// Lane numbers. A lane belongs to a stage, fused or not.
pub mod lane {
    /// The session thread's lane.
    pub const SESSION: u16 = 0;
    /// The feed's lane.
    pub const FEED: u16 = 1;
    /// The engine's lane.
    pub const ENGINE: u16 = 2;
    /// The gateway's lane.
    pub const GATEWAY: u16 = 3;
    /// Names by number.
    pub const NAMES: [&str; 4] = ["session", "feed", "engine", "gateway"];
}

/// A record copied out of a lane or an archive.
#[derive(Clone, Debug, Default)]
pub struct RecordBuf {
    bytes: Vec<u8>,
}

impl RecordBuf {
    /// The record; the buffer holds one after a successful read.
    ///
    /// # Panics
    ///
    /// When nothing was read into the buffer.
    pub fn record(&self) -> crate::record::Record<'_> {
        let (header, payload) = self.bytes.split_at(crate::record::HEADER_BYTES);
        match <crate::record::RecordHeader as zerocopy::FromBytes>::read_from_bytes(header) {
            Ok(header) => crate::record::Record { header, payload },
            Err(_) => unreachable!("split at the header's size"),
        }
    }

    /// A record built outside of a lane, as by tools that rewrite archives; nothing about it is checked.
    ///
    /// # Panics
    ///
    /// When the bytes are shorter than a header.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        assert!(bytes.len() >= crate::record::HEADER_BYTES, "a record of {} bytes", bytes.len());
        Self { bytes }
    }

    /// Header and payload as stored, without padding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
