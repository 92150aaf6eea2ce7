//! The writing end of a lane: one owner, no lock, no system call, no allocation.

#![expect(unsafe_code, reason = "records are built in place in shared memory")]

use super::{
    layout::{Pressure, SEGMENT_HEAD_BYTES},
    pool::LaneShared,
    publish::{is_segment, publish_record},
};
use crate::{
    Nanos,
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

/// Appends records to one lane.
pub struct LaneWriter {
    shared: Arc<LaneShared>,
    ordinal: u64,
    /// Offset of the next record within the segment.
    offset: usize,
    sequence: u64,
    telemetry_dropped: u64,
    inputs_skipped: u64,
    skipped_unmarked: u64,
    is_exhausted: bool,
}

impl LaneWriter {
    pub(super) fn new(shared: Arc<LaneShared>) -> Self {
        Self {
            shared,
            ordinal: 0,
            offset: SEGMENT_HEAD_BYTES,
            sequence: 0,
            telemetry_dropped: 0,
            inputs_skipped: 0,
            skipped_unmarked: 0,
            is_exhausted: false,
        }
    }

    /// The lane's number.
    pub fn lane(&self) -> u16 {
        self.shared.spec.lane
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
        self.shared.spec.segment_bytes - SEGMENT_HEAD_BYTES - HEADER_BYTES
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
    #[inline]
    pub fn append(
        &mut self,
        kind: Kind,
        class: Class,
        time: Nanos,
        cause: Cause,
        parts: &[&[u8]],
    ) -> Result<u64, AppendError> {
        self.admit(class)?;
        if self.skipped_unmarked > 0 && class != Class::Telemetry {
            let gap = GapRecord { skipped: self.skipped_unmarked };
            self.write(Kind::Gap, Class::Audit, time, Cause::NONE, &[gap.as_bytes()])?;
            self.skipped_unmarked = 0;
        }
        self.write(kind, class, time, cause, parts)
    }

    #[inline]
    fn admit(&mut self, class: Class) -> Result<(), AppendError> {
        match (class, self.pressure()) {
            (Class::Audit, _) | (_, Pressure::Low) => Ok(()),
            (Class::Telemetry, _) => {
                self.telemetry_dropped += 1;
                Err(AppendError::Dropped)
            }
            (Class::Input, Pressure::AuditOnly | Pressure::Exhausted) => {
                self.inputs_skipped += 1;
                self.skipped_unmarked += 1;
                Err(AppendError::Skipped)
            }
            (Class::Input, _) => Ok(()),
        }
    }

    #[inline]
    fn write(
        &mut self,
        kind: Kind,
        class: Class,
        time: Nanos,
        cause: Cause,
        parts: &[&[u8]],
    ) -> Result<u64, AppendError> {
        let payload_bytes: usize = parts.iter().map(|p| p.len()).sum();
        let length = HEADER_BYTES + payload_bytes;
        let stride = length.next_multiple_of(ALIGN);
        if payload_bytes > self.payload_max() {
            return Err(AppendError::TooLarge);
        }
        if self.offset + stride > self.shared.spec.segment_bytes {
            self.roll_over()?;
        }
        let header = RecordHeader {
            length: length as u32,
            kind: kind as u16,
            layout: LAYOUT,
            class: class as u8,
            lane: self.shared.spec.lane,
            reserved: 0,
            crc32c: 0,
            sequence: self.sequence + 1,
            time,
            cause: cause.0,
        };
        self.place(header, parts, payload_bytes);
        self.offset += stride;
        self.sequence += 1;
        Ok(self.sequence)
    }

    /// Builds the record at the current offset and publishes it.
    #[inline]
    fn place(&self, mut header: RecordHeader, parts: &[&[u8]], payload_bytes: usize) {
        let file = &self.shared.file;
        let start = self.shared.spec.segment_at(self.ordinal) + self.offset;
        // SAFETY: the range lies in the segment (checked by `write`), which belongs to this writer alone
        // until it is acknowledged, and no reader passes its length word while that is zero.
        let payload = unsafe { file.bytes_mut(start + HEADER_BYTES, payload_bytes) };
        let mut at = 0;
        for part in parts {
            payload[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        header.crc32c = header.checksum(payload);
        file.copy_from(start + 4, &header.as_bytes()[4..]);
        publish_record(file.u32_at(start), header.length);
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
        let room = shared.spec.segment_bytes - self.offset;
        if room >= HEADER_BYTES {
            self.pad(room);
        }
        self.ordinal = next;
        self.offset = SEGMENT_HEAD_BYTES;
        let head = shared.spec.segment_at(next);
        shared.file.u64_at(head + 8).store(self.sequence + 1, Ordering::Relaxed);
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
        let start = self.shared.spec.segment_at(self.ordinal) + self.offset;
        let sealed = RecordHeader { crc32c: header.checksum(&[]), ..header };
        self.shared.file.copy_from(start + 4, &sealed.as_bytes()[4..]);
        publish_record(self.shared.file.u32_at(start), sealed.length);
    }

    /// Bytes written so far, in the unit of acknowledgements.
    pub fn position(&self) -> u64 {
        self.ordinal * self.shared.spec.segment_bytes as u64 + self.offset as u64
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
