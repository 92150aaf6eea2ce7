//! Creation of a lane and the reclamation of its segments.

use super::{
    layout::{LAYOUT, LaneSpec, MAGIC, META_AT, META_MAX, Pressure, SEGMENT_HEAD_BYTES, SEGMENTS_MIN, at},
    publish::{is_segment, release_segment, withdraw_segment},
    writer::LaneWriter,
};
use crate::memory::{MappedFile, MemoryError};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a lane's writer and its reclaimer share.
#[derive(Debug)]
pub struct LaneShared {
    pub(super) file: MappedFile,
    pub(super) spec: LaneSpec,
    /// Ordinal of the segment being written; stored by the writer at a roll-over.
    pub(super) writing: AtomicU64,
    /// Segments ever handed to the writer; stored by the reclaimer.
    pub(super) released: AtomicU64,
}

/// A lane as created: the writer goes to its stage, the rest stays with the session thread.
pub struct Lane;

impl Lane {
    /// Creates the file in `shared_dir`, allocated, zeroed and prefaulted, with every segment free.
    ///
    /// # Errors
    ///
    /// Those of [`MappedFile::create`]; metadata that does not fit is cut.
    ///
    /// # Panics
    ///
    /// When the sizes break the rules of [`LaneSpec`], which the configuration checks.
    pub fn create(shared_dir: &Path, spec: LaneSpec, metadata: &str) -> Result<LaneWriter, MemoryError> {
        assert!(spec.segments >= SEGMENTS_MIN, "lane {}: {} segments", spec.name, spec.segments);
        assert!(spec.segment_bytes.is_multiple_of(4096), "lane {}: {} bytes", spec.name, spec.segment_bytes);
        let path = super::lane_path(shared_dir, spec.lane, &spec.name);
        let file = MappedFile::create(&path, spec.file_bytes())?;
        let put = |offset, value: u64| file.u64_at(offset).store(value, Ordering::Release);
        put(at::LAYOUT, LAYOUT);
        put(at::SESSION, spec.session);
        put(at::LANE, spec.lane.into());
        put(at::SEGMENT_BYTES, spec.segment_bytes as u64);
        put(at::SEGMENTS, spec.segments as u64);
        let metadata = &metadata.as_bytes()[..metadata.len().min(META_MAX)];
        file.copy_from(META_AT, metadata);
        put(at::META_BYTES, metadata.len() as u64);
        for ordinal in 0..spec.segments as u64 {
            release_segment(file.u64_at(spec.segment_at(ordinal)), ordinal);
        }
        // Last: a reader that sees the magic sees the rest.
        put(at::MAGIC, MAGIC);
        let released = AtomicU64::new(spec.segments as u64);
        let shared = Arc::new(LaneShared { file, spec, writing: AtomicU64::new(0), released });
        Ok(LaneWriter::new(shared))
    }
}

impl LaneShared {
    /// What the lane is.
    pub fn spec(&self) -> &LaneSpec {
        &self.spec
    }

    /// The lane's file.
    pub fn file(&self) -> &MappedFile {
        &self.file
    }

    /// How short of free segments the lane is, as seen from another thread.
    pub fn pressure(&self) -> Pressure {
        let released = self.released.load(Ordering::Acquire);
        let writing = self.writing.load(Ordering::Acquire);
        match released.saturating_sub(writing + 1) as usize {
            0 => Pressure::AuditOnly,
            free => Pressure::of(free, self.spec.segments),
        }
    }

    /// Gives back every segment that lies wholly before `acknowledged` bytes: zeroed, with a new
    /// generation. Returns false, changing nothing, for an acknowledgement beyond the segment being
    /// written: the command file is hostile input.
    ///
    /// Called by one thread, never by a hot one.
    pub fn reclaim(&self, acknowledged: u64) -> bool {
        let writing = self.writing.load(Ordering::Acquire);
        let segment_bytes = self.spec.segment_bytes as u64;
        // A reader may already look for the first record of the next segment, no further.
        if acknowledged > (writing + 1) * segment_bytes + SEGMENT_HEAD_BYTES as u64 {
            return false;
        }
        let done = (acknowledged / segment_bytes).min(writing);
        let segments = self.spec.segments as u64;
        let mut released = self.released.load(Ordering::Relaxed);
        while released < done + segments {
            let slot = self.spec.segment_at(released);
            debug_assert!(is_segment(self.file.u64_at(slot), released - segments), "released in ring order");
            // Not a segment while it is being zeroed: a viewer that copied from it finds the change.
            withdraw_segment(self.file.u64_at(slot));
            self.file.zero(slot + 8, self.spec.segment_bytes - 8);
            release_segment(self.file.u64_at(slot), released);
            released += 1;
            // Release: the writer that counts the segment as free finds it zeroed.
            self.released.store(released, Ordering::Release);
        }
        true
    }
}
