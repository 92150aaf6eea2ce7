//! The writing end of a lane: one owner, no lock, no system call, no allocation.

#![expect(unsafe_code, reason = "records are built in place in shared memory")]

use super::{
    layout::{Pressure, SEGMENT_HEAD_BYTES},
    pool::LaneShared,
    publish::{is_segment, publish_record},
};
use crate::{
    Nanos, crc,
    record::{ALIGN, Cause, Class, GapRecord, HEADER_BYTES, Kind, LAYOUT, RecordHeader},
    status::{LaneWord, Status},
};
use std::sync::{Arc, atomic::Ordering};
use zerocopy::IntoBytes;

/// Why a record was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Telemetry below the first watermark: counted.
    Dropped,
    /// An input below the last watermark: counted, a gap mark follows.
    Skipped,
    /// No segment is free, not even for audit.
    Exhausted,
    /// The record does not fit a segment.
    TooLarge,
}

/// How far ahead of the next record the cache is asked for the lane's lines: a few records of the usual size.
const AHEAD_BYTES: usize = 2_048;

/// Room in a lane for the record that takes the next sequence number, see [`LaneWriter::reserve`].
#[derive(Debug)]
#[must_use = "the record has to follow, or its number names nothing"]
pub struct Reserved {
    sequence: u64,
}

impl Reserved {
    /// Number that the record will have.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// Appends records to one lane.
pub struct LaneWriter {
    shared: Arc<LaneShared>,
    ordinal: u64,
    /// Where the segment being written starts in the file.
    base: usize,
    segment_bytes: usize,
    lane: u16,
    method: crc::Method,
    /// Offset of the next record within the segment.
    offset: usize,
    sequence: u64,
    /// Lines of the segment before this offset are in the cache or on their way.
    fetched: usize,
    telemetry_dropped: u64,
    inputs_skipped: u64,
    skipped_unmarked: u64,
    is_exhausted: bool,
}

impl LaneWriter {
    pub(super) fn new(shared: Arc<LaneShared>) -> Self {
        Self {
            base: shared.spec.segment_at(0),
            segment_bytes: shared.spec.segment_bytes,
            lane: shared.spec.lane,
            method: crc::Method::choose(),
            shared,
            ordinal: 0,
            offset: SEGMENT_HEAD_BYTES,
            sequence: 0,
            fetched: SEGMENT_HEAD_BYTES,
            telemetry_dropped: 0,
            inputs_skipped: 0,
            skipped_unmarked: 0,
            is_exhausted: false,
        }
    }

    /// The lane's number.
    #[inline]
    pub fn lane(&self) -> u16 {
        self.lane
    }

    /// What the reclaiming thread needs.
    pub fn shared(&self) -> Arc<LaneShared> {
        Arc::clone(&self.shared)
    }

    /// Sequence of the last record.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Largest payload that a record of this lane can carry.
    pub fn payload_max(&self) -> usize {
        self.segment_bytes - SEGMENT_HEAD_BYTES - HEADER_BYTES
    }

    /// How short of free segments the lane is.
    #[inline]
    pub fn pressure(&self) -> Pressure {
        if self.is_exhausted {
            return Pressure::Exhausted;
        }
        Pressure::of(self.free_segments(), self.shared.spec.segments)
    }

    /// Segments ready after the one being written.
    fn free_segments(&self) -> usize {
        (self.shared.released.load(Ordering::Acquire) - self.ordinal - 1) as usize
    }

    /// Appends a record whose payload is `parts` one after another; returns its sequence.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: nothing was written, and nothing but a counter changed.
    #[inline(always)]
    pub fn append(
        &mut self,
        kind: Kind,
        class: Class,
        time: Nanos,
        cause: Cause,
        parts: &[&[u8]],
    ) -> Result<u64, AppendError> {
        let reserved = self.reserve(class, time, parts.iter().map(|p| p.len()).sum())?;
        Ok(self.fill(reserved, kind, class, time, cause, parts))
    }

    /// Makes sure that a record with a payload of `payload_bytes` fits and tells the number it will have, so that
    /// others can name it before its bytes are written by [`Self::fill`]: the very next record of the lane.
    ///
    /// # Errors
    ///
    /// As [`Self::append`].
    #[inline(always)]
    pub fn reserve(
        &mut self,
        class: Class,
        time: Nanos,
        payload_bytes: usize,
    ) -> Result<Reserved, AppendError> {
        self.admit(class)?;
        if self.skipped_unmarked > 0 && class != Class::Telemetry {
            self.mark_gap(time)?;
        }
        self.make_room(payload_bytes)?;
        Ok(Reserved { sequence: self.sequence + 1 })
    }

    #[cold]
    fn mark_gap(&mut self, time: Nanos) -> Result<(), AppendError> {
        let gap = GapRecord { skipped: self.skipped_unmarked };
        let payload = gap.as_bytes();
        self.make_room(payload.len())?;
        self.put(Kind::Gap, Class::Audit, time, Cause::NONE, &[payload]);
        self.skipped_unmarked = 0;
        Ok(())
    }

    /// Writes the record that room was reserved for; returns its sequence.
    ///
    /// # Panics
    ///
    /// When something else was appended in between, or the payload is larger than was asked for and does not fit.
    #[inline(always)]
    pub fn fill(
        &mut self,
        reserved: Reserved,
        kind: Kind,
        class: Class,
        time: Nanos,
        cause: Cause,
        parts: &[&[u8]],
    ) -> u64 {
        assert!(reserved.sequence == self.sequence + 1, "a record came between reservation and filling");
        self.put(kind, class, time, cause, parts);
        reserved.sequence
    }

    #[inline(always)]
    fn admit(&mut self, class: Class) -> Result<(), AppendError> {
        if class == Class::Audit || self.pressure() == Pressure::Low {
            return Ok(());
        }
        self.admit_under_pressure(class)
    }

    #[cold]
    fn admit_under_pressure(&mut self, class: Class) -> Result<(), AppendError> {
        match (class, self.pressure()) {
            (Class::Telemetry, _) => {
                self.telemetry_dropped += 1;
                Err(AppendError::Dropped)
            }
            (Class::Input, Pressure::AuditOnly | Pressure::Exhausted) => {
                self.inputs_skipped += 1;
                self.skipped_unmarked += 1;
                Err(AppendError::Skipped)
            }
            (Class::Input | Class::Audit, _) => Ok(()),
        }
    }

    #[inline(always)]
    fn make_room(&mut self, payload_bytes: usize) -> Result<(), AppendError> {
        if payload_bytes > self.payload_max() {
            return Err(AppendError::TooLarge);
        }
        let stride = (HEADER_BYTES + payload_bytes).next_multiple_of(ALIGN);
        if self.offset + stride > self.segment_bytes {
            self.roll_over()?;
        }
        Ok(())
    }

    /// Builds the record at the current offset and publishes it. There is room for it.
    #[inline(always)]
    fn put(&mut self, kind: Kind, class: Class, time: Nanos, cause: Cause, parts: &[&[u8]]) {
        let payload_bytes: usize = parts.iter().map(|p| p.len()).sum();
        let length = HEADER_BYTES + payload_bytes;
        assert!(self.offset + length <= self.segment_bytes, "more than was reserved");
        let header = RecordHeader {
            length: length as u32,
            kind: kind as u16,
            layout: LAYOUT,
            class: class as u8,
            lane: self.lane,
            reserved: 0,
            crc32c: 0,
            sequence: self.sequence + 1,
            time,
            cause: cause.0,
        };
        let (start, file) = (self.base + self.offset, &self.shared.file);
        // SAFETY: the range lies in the segment (asserted above), which belongs to this writer alone until it
        // is acknowledged, and no reader passes its length word while that is zero.
        let bytes = unsafe { file.bytes_mut(start + 4, length - 4) };
        let Some((head, payload)) = bytes.split_first_chunk_mut::<{ HEADER_BYTES - 4 }>() else {
            unreachable!("a record is never shorter than its header")
        };
        let mut at = 0;
        for part in parts {
            payload[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        let mut words = header.words();
        words[1] |= (u64::from(crc::of_record(self.method, &words, payload)) << 32).to_le();
        // The length is the last to be written: it publishes the record.
        head[..4].copy_from_slice(&words[0].to_ne_bytes()[4..]);
        for (to, word) in head[4..].as_chunks_mut::<8>().0.iter_mut().zip(&words[1..]) {
            *to = word.to_ne_bytes();
        }
        publish_record(file.u32_at(start), header.length);
        self.offset += length.next_multiple_of(ALIGN);
        self.sequence += 1;
        self.fetch_ahead();
    }

    /// Asks the cache for the lines that the next records will fill: a lane is written once from end to end, so
    /// none of them is there by itself.
    #[inline(always)]
    fn fetch_ahead(&mut self) {
        let until = (self.offset + AHEAD_BYTES).min(self.segment_bytes);
        self.fetched = self.fetched.max(self.offset & !63);
        while self.fetched < until {
            self.shared.file.prefetch_for_write(self.base + self.fetched);
            self.fetched += 64;
        }
    }

    /// Ends the segment with a pad and enters the next one, if it is free.
    #[cold]
    fn roll_over(&mut self) -> Result<(), AppendError> {
        let shared = Arc::clone(&self.shared);
        let next = self.ordinal + 1;
        if !is_segment(shared.file.u64_at(shared.spec.segment_at(next)), next) {
            self.is_exhausted = true;
            return Err(AppendError::Exhausted);
        }
        self.is_exhausted = false;
        // Before the pad: a reader that passes it may acknowledge at once.
        shared.writing.store(next, Ordering::Release);
        let room = self.segment_bytes - self.offset;
        if room >= HEADER_BYTES {
            self.pad(room);
        }
        self.ordinal = next;
        self.base = shared.spec.segment_at(next);
        self.offset = SEGMENT_HEAD_BYTES;
        self.fetched = SEGMENT_HEAD_BYTES;
        self.fetch_ahead();
        shared.file.u64_at(self.base + 8).store(self.sequence + 1, Ordering::Relaxed);
        Ok(())
    }

    fn pad(&self, room: usize) {
        let header = RecordHeader {
            length: room as u32,
            kind: Kind::Pad as u16,
            layout: LAYOUT,
            class: Class::Audit as u8,
            lane: self.shared.spec.lane,
            reserved: 0,
            crc32c: 0,
            sequence: self.sequence,
            time: 0,
            cause: 0,
        };
        let start = self.base + self.offset;
        let sealed = RecordHeader { crc32c: header.checksum(&[]), ..header };
        self.shared.file.copy_from(start + 4, &sealed.as_bytes()[4..]);
        publish_record(self.shared.file.u32_at(start), sealed.length);
    }

    /// Bytes written so far, in the unit of acknowledgements.
    pub fn position(&self) -> u64 {
        self.ordinal * self.segment_bytes as u64 + self.offset as u64
    }

    /// Publishes the lane's gauges.
    pub fn report(&self, status: &Status) {
        let put = |word, value| status.set_lane(self.lane(), word, value);
        put(LaneWord::Records, self.sequence);
        put(LaneWord::Position, self.position());
        put(LaneWord::Free, self.free_segments() as u64);
        put(LaneWord::Dropped, self.telemetry_dropped);
        put(LaneWord::Skipped, self.inputs_skipped);
        put(LaneWord::Segments, self.shared.spec.segments as u64);
        put(LaneWord::SegmentBytes, self.shared.spec.segment_bytes as u64);
    }
}
