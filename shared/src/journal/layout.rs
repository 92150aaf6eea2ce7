//! Layout of a lane's file.
//!
//! ```text
//! 0        magic, layout, session, lane, segment bytes, segments, boot id hash, metadata bytes
//! 128      metadata: text that makes the lane self-describing
//! 65536    segment 0: generation, first sequence, reserved (64 bytes), then records
//!          segment 1 ...
//! ```
//!
//! A segment's generation is its ordinal plus one once it is zeroed and may be written.

use std::path::{Path, PathBuf};

pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"tplane01");
pub(super) const LAYOUT: u64 = 1;
pub(super) const META_AT: usize = 128;
pub(super) const SEGMENTS_AT: usize = 65_536;
/// Bytes of the metadata at most.
pub(super) const META_MAX: usize = SEGMENTS_AT - META_AT;
pub(super) const SEGMENT_HEAD_BYTES: usize = 64;

pub(super) mod at {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const LAYOUT: usize = 8;
    pub(crate) const SESSION: usize = 16;
    pub(crate) const LANE: usize = 24;
    pub(crate) const SEGMENT_BYTES: usize = 32;
    pub(crate) const SEGMENTS: usize = 40;
    pub(crate) const META_BYTES: usize = 48;
}

/// Fewest segments of a lane: eighths must exist for the watermarks.
pub const SEGMENTS_MIN: usize = 8;

/// What a lane is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSpec {
    /// Session the lane belongs to.
    pub session: u64,
    /// Number of the lane in its session.
    pub lane: u16,
    /// Name for people, such as `feed-0`.
    pub name: String,
    /// Bytes of a segment, a multiple of 4096; it must hold the largest record.
    pub segment_bytes: usize,
    /// Segments of the pool, at least [`SEGMENTS_MIN`].
    pub segments: usize,
}

impl LaneSpec {
    /// Bytes of the lane's file.
    pub fn file_bytes(&self) -> u64 {
        (SEGMENTS_AT + self.segment_bytes * self.segments) as u64
    }

    pub(super) fn segment_at(&self, ordinal: u64) -> usize {
        SEGMENTS_AT + (ordinal % self.segments as u64) as usize * self.segment_bytes
    }
}

/// The file of a lane in a session's shared directory.
pub fn lane_path(shared_dir: &Path, lane: u16, name: &str) -> PathBuf {
    shared_dir.join(format!("lane-{lane:02}-{name}"))
}

crate::labelled_enum! {
    /// How short of free segments a lane is.
    pub enum Pressure: u8 {
        Low = 0, "low", "At least half of the segments are free.";
        DropTelemetry = 1, "drop_telemetry", "Below 1/2: telemetry is dropped and counted.";
        NoNewRisk = 2, "no_new_risk", "Below 1/4: no new risk is opened.";
        AuditOnly = 3, "audit_only", "Below 1/8: inputs are skipped with a gap mark.";
        Exhausted = 4, "exhausted", "Nothing is free: cancel all, halt.";
    }
}

impl Pressure {
    /// Pressure of a pool of `segments` with `free` ready for the writer.
    pub const fn of(free: usize, segments: usize) -> Self {
        if free * 2 >= segments {
            Self::Low
        } else if free * 4 >= segments {
            Self::DropTelemetry
        } else if free * 8 >= segments {
            Self::NoNewRisk
        } else {
            Self::AuditOnly
        }
    }
}
