//! The reading end of a lane's file, for the archiver, live viewers, and tools on dead sessions.

use super::{
    RecordBuf,
    layout::{LAYOUT, LaneSpec, MAGIC, META_AT, META_MAX, SEGMENT_HEAD_BYTES, SEGMENTS_AT, SEGMENTS_MIN, at},
};
use crate::{
    memory::{MappedFile, MemoryError, ReadOnlyFile},
    record::{ALIGN, HEADER_BYTES, Kind},
};
use std::path::Path;
use thiserror::Error;

/// Why a lane could not be opened or read on.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file could not be mapped.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Not a lane, or of another build.
    #[error("{path}: lane layout {found}, this build reads {LAYOUT}")]
    Layout {
        /// The file.
        path: String,
        /// Its layout number, or a wild number when it is no lane at all.
        found: u64,
    },
    /// The header's sizes contradict the file.
    #[error("{path}: {segments} segments of {segment_bytes} bytes do not fit a file of {file_bytes}")]
    Sizes {
        /// The file.
        path: String,
        /// Segments by the header.
        segments: u64,
        /// Bytes of a segment by the header.
        segment_bytes: u64,
        /// Bytes of the file.
        file_bytes: u64,
    },
    /// A record that is not what a writer writes: flipped bits, or a file tampered with.
    #[error("lane {lane} segment {ordinal} offset {offset}: {why} (after sequence {sequence})")]
    Damaged {
        /// Lane name.
        lane: String,
        /// Segment ordinal.
        ordinal: u64,
        /// Offset in the segment.
        offset: usize,
        /// Last sound sequence.
        sequence: u64,
        /// What is wrong.
        why: String,
    },
    /// The writer has reused the segment: a viewer was too slow.
    #[error("lane {lane}: lapped at segment {ordinal}, records after sequence {sequence} were missed")]
    Lapped {
        /// Lane name.
        lane: String,
        /// Segment ordinal looked for.
        ordinal: u64,
        /// Last sequence read.
        sequence: u64,
    },
    /// The file was truncated, replaced or removed.
    #[error("lane {lane}: {why}")]
    Tampered {
        /// Lane name.
        lane: String,
        /// What was found.
        why: String,
    },
}

/// Reads records in order, from the oldest segment that still exists or from a known position.
pub struct LaneReader {
    file: ReadOnlyFile,
    spec: LaneSpec,
    metadata: String,
    ordinal: u64,
    offset: usize,
    sequence: u64,
}

impl LaneReader {
    /// Opens a lane at its first segment.
    ///
    /// # Errors
    ///
    /// [`ReadError::Memory`], [`ReadError::Layout`] or [`ReadError::Sizes`].
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = MappedFile::open_read_only(path, SEGMENTS_AT as u64)?;
        let (magic, layout) = (file.load_u64(at::MAGIC), file.load_u64(at::LAYOUT));
        if magic != MAGIC || layout != LAYOUT {
            let found = if magic == MAGIC { layout } else { magic };
            return Err(ReadError::Layout { path: path.display().to_string(), found });
        }
        let spec = read_spec(&file, path)?;
        let mut metadata = vec![0; (file.load_u64(at::META_BYTES) as usize).min(META_MAX)];
        file.copy_to(META_AT, &mut metadata);
        let metadata = String::from_utf8_lossy(&metadata).into_owned();
        Ok(Self { file, spec, metadata, ordinal: 0, offset: SEGMENT_HEAD_BYTES, sequence: 0 })
    }

    /// Continues after `position` bytes, where the record `sequence` ended.
    pub fn seek(&mut self, position: u64, sequence: u64) {
        let segment_bytes = self.spec.segment_bytes as u64;
        self.ordinal = position / segment_bytes;
        self.offset = ((position % segment_bytes) as usize).max(SEGMENT_HEAD_BYTES);
        self.sequence = sequence;
    }

    /// Skips to the oldest segment that is still there; for viewers that were lapped or came late.
    pub fn seek_oldest(&mut self) {
        let segments = self.spec.segments as u64;
        let generations = (0..segments).map(|slot| self.file.load_u64(self.spec.segment_at(slot)));
        let filled = generations.filter(|&generation| generation > 0).map(|generation| generation - 1);
        let newest_free = filled.max().unwrap_or(0);
        self.ordinal = newest_free.saturating_sub(segments - 1);
        self.offset = SEGMENT_HEAD_BYTES;
        let first = self.file.load_u64(self.spec.segment_at(self.ordinal) + 8);
        self.sequence = first.max(1) - 1;
    }

    /// What the lane is.
    pub fn spec(&self) -> &LaneSpec {
        &self.spec
    }

    /// The lane's description of itself.
    pub fn metadata(&self) -> &str {
        &self.metadata
    }

    /// Bytes read so far, in the unit of acknowledgements.
    pub fn position(&self) -> u64 {
        self.ordinal * self.spec.segment_bytes as u64 + self.offset as u64
    }

    /// Sequence of the last record read.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The lane's file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Fails when the file is no longer the one that was opened. Called before every batch of reads, so
    /// that a truncated file is an error instead of a SIGBUS.
    ///
    /// # Errors
    ///
    /// [`ReadError::Tampered`].
    pub fn check_file(&self) -> Result<(), ReadError> {
        match self.file.tampering() {
            None => Ok(()),
            Some(why) => Err(ReadError::Tampered { lane: self.spec.name.clone(), why }),
        }
    }

    /// Reads the next record into `out`; `None` while there is none.
    ///
    /// # Errors
    ///
    /// [`ReadError::Damaged`] for bytes no writer leaves, [`ReadError::Lapped`] when they are gone.
    pub fn next_into(&mut self, out: &mut RecordBuf) -> Result<Option<()>, ReadError> {
        loop {
            match self.generation_error()? {
                Generation::NotYet => return Ok(None),
                Generation::Current => {}
            }
            if self.offset + HEADER_BYTES > self.spec.segment_bytes {
                self.enter_next();
                continue;
            }
            let start = self.spec.segment_at(self.ordinal) + self.offset;
            let length = self.file.load_u32(start) as usize;
            if length == 0 {
                return Ok(None);
            }
            if length < HEADER_BYTES || self.offset + length > self.spec.segment_bytes {
                return Err(self.damaged(format!("record length {length}")));
            }
            self.copy_record(start, length, out)?;
            if out.record().header.kind == Kind::Pad as u16 {
                self.enter_next();
                continue;
            }
            self.offset += length.next_multiple_of(ALIGN);
            self.sequence += 1;
            return Ok(Some(()));
        }
    }

    fn generation_error(&self) -> Result<Generation, ReadError> {
        match self.file.load_u64(self.spec.segment_at(self.ordinal)) {
            g if g == self.ordinal + 1 => Ok(Generation::Current),
            g if g > self.ordinal + 1 || g == 0 => Err(ReadError::Lapped {
                lane: self.spec.name.clone(),
                ordinal: self.ordinal,
                sequence: self.sequence,
            }),
            _ => Ok(Generation::NotYet),
        }
    }

    fn enter_next(&mut self) {
        self.ordinal += 1;
        self.offset = SEGMENT_HEAD_BYTES;
    }

    fn copy_record(&self, start: usize, length: usize, out: &mut RecordBuf) -> Result<(), ReadError> {
        out.bytes.resize(length, 0);
        self.file.copy_to(start, &mut out.bytes);
        // The copy counts only if the segment was not reused meanwhile: the fence of `publish::was_segment`.
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        self.generation_error()?;
        let record = out.record();
        let header = record.header;
        let is_pad = header.kind == Kind::Pad as u16;
        let payload = if is_pad { &[][..] } else { record.payload };
        if header.checksum(payload) != header.crc32c {
            return Err(self.damaged(format!("checksum of a {length}-byte record is wrong")));
        }
        let expected = if is_pad { self.sequence } else { self.sequence + 1 };
        if header.sequence != expected || header.lane != self.spec.lane {
            let found = header.sequence;
            return Err(
                self.damaged(format!("sequence {found} of lane {}, expected {expected}", header.lane))
            );
        }
        Ok(())
    }

    fn damaged(&self, why: String) -> ReadError {
        ReadError::Damaged {
            lane: self.spec.name.clone(),
            ordinal: self.ordinal,
            offset: self.offset,
            sequence: self.sequence,
            why,
        }
    }
}

enum Generation {
    Current,
    NotYet,
}

fn read_spec(file: &ReadOnlyFile, path: &Path) -> Result<LaneSpec, ReadError> {
    let segment_bytes = file.load_u64(at::SEGMENT_BYTES);
    let segments = file.load_u64(at::SEGMENTS);
    let needed = segments.checked_mul(segment_bytes).and_then(|b| b.checked_add(SEGMENTS_AT as u64));
    let is_sound = segments >= SEGMENTS_MIN as u64 && segment_bytes.is_multiple_of(4096) && segment_bytes > 0;
    if !is_sound || needed.is_none_or(|bytes| bytes > file.len() as u64) {
        return Err(ReadError::Sizes {
            path: path.display().to_string(),
            segments,
            segment_bytes,
            file_bytes: file.len() as u64,
        });
    }
    let stem = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name = stem.splitn(3, '-').nth(2).unwrap_or(&stem).to_owned();
    Ok(LaneSpec {
        session: file.load_u64(at::SESSION),
        lane: file.load_u64(at::LANE) as u16,
        name,
        segment_bytes: segment_bytes as usize,
        segments: segments as usize,
    })
}
