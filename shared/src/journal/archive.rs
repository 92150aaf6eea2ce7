//! The archive of a lane on disk: compressed, checksummed, hash-chained blocks, appended and synced.
//!
//! ```text
//! file   magic u64, session u64, lane u64, metadata bytes u64, metadata, then blocks
//! block  header (128 bytes), zstd of the records as they lay in the lane, padding included
//! ```
//!
//! A block's hash covers its header, its stored bytes and the hash of the block before it.

use super::{RecordBuf, layout::META_MAX};
use crate::{
    paths::open_private,
    record::{ALIGN, HEADER_BYTES, RecordHeader},
};
use sha2::{Digest, Sha256};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const MAGIC: u64 = u64::from_le_bytes(*b"tparch01");
const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"tpbl");
const BLOCK_LAYOUT: u32 = 1;
const FILE_HEAD_BYTES: usize = 32;
/// Uncompressed bytes of a block at most; a record larger than that is a block of its own.
const BLOCK_BYTES_MAX: usize = 32 << 20;
const ZSTD_LEVEL: i32 = 1;

/// The archive file of a lane.
pub fn archive_path(archive: &Path, session: u64, lane: u16, name: &str) -> PathBuf {
    archive.join(session.to_string()).join(format!("lane-{lane:02}-{name}.tpa"))
}

/// Header of a block.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct BlockHeader {
    magic: u32,
    layout: u32,
    raw_bytes: u32,
    stored_bytes: u32,
    first_sequence: u64,
    last_sequence: u64,
    /// Position in the lane after the block's last record.
    end_position: u64,
    records: u64,
    reserved: u64,
    /// Zero for a lane's first block.
    previous_hash: [u8; 32],
    hash: [u8; 32],
    reserved_tail: [u8; 8],
}

const BLOCK_HEAD_BYTES: usize = size_of::<BlockHeader>();
const _: () = assert!(BLOCK_HEAD_BYTES == 128);

impl BlockHeader {
    fn hash_with(&self, stored: &[u8]) -> [u8; 32] {
        let bare = Self { hash: [0; 32], ..*self };
        Sha256::new().chain_update(bare.as_bytes()).chain_update(stored).finalize().into()
    }
}

/// Why an archive could not be written or read.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The file system refused.
    #[error("archive {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes that no archiver wrote.
    #[error("archive {} at byte {offset}: {why} (after sequence {sequence})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Offset of the block.
        offset: u64,
        /// Last sound sequence.
        sequence: u64,
        /// What is wrong.
        why: String,
    },
}

/// Where a sound archive ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockReport {
    /// Blocks read.
    pub blocks: u64,
    /// Records read.
    pub records: u64,
    /// Last sequence.
    pub sequence: u64,
    /// Position in the lane after it.
    pub position: u64,
}

/// Appends records of one lane and makes them durable in groups.
pub struct ArchiveWriter {
    file: File,
    path: PathBuf,
    raw: Vec<u8>,
    stored: Vec<u8>,
    records: u64,
    sequence: u64,
    previous_hash: [u8; 32],
    /// Where the part ends that is known to be durable.
    synced: End,
    /// A sync failed, and what it was about is still in the file.
    must_rewind: bool,
    compressor: zstd::bulk::Compressor<'static>,
}

/// An end of the archive: offset in the file, last sequence, hash of the last block.
#[derive(Clone, Copy)]
struct End {
    offset: u64,
    sequence: u64,
    hash: [u8; 32],
}

impl ArchiveWriter {
    /// Opens or creates the archive of a lane and returns where it ends. A torn last block, left by a
    /// crash, is cut off; damage before it is an error.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`].
    pub fn open(
        path: &Path,
        session: u64,
        lane: u16,
        metadata: &str,
    ) -> Result<(Self, BlockReport), ArchiveError> {
        let io = |source| ArchiveError::Io { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            crate::paths::create_private_dir(parent).map_err(io)?;
        }
        let mut file =
            open_private(path, OpenOptions::new().read(true).write(true).create(true)).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let head = file_head(session, lane, metadata);
        let (report, hash, sound) = if len < head.len() as u64 {
            file.set_len(0).map_err(io)?;
            file.write_all(&head).map_err(io)?;
            (BlockReport::default(), [0; 32], head.len() as u64)
        } else {
            scan_end(path)?
        };
        file.set_len(sound).map_err(io)?;
        file.seek(SeekFrom::Start(sound)).map_err(io)?;
        file.sync_all().map_err(io)?;
        let writer = Self {
            file,
            path: path.to_owned(),
            raw: Vec::new(),
            stored: Vec::new(),
            records: 0,
            sequence: report.sequence,
            previous_hash: hash,
            synced: End { offset: sound, sequence: report.sequence, hash },
            must_rewind: false,
            compressor: zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(io)?,
        };
        Ok((writer, report))
    }

    /// Adds a record to the open block. Returns true when the block should be written.
    pub fn push(&mut self, record: &RecordBuf) -> bool {
        let bytes = record.as_bytes();
        self.raw.extend_from_slice(bytes);
        self.raw.resize(self.raw.len().next_multiple_of(ALIGN), 0);
        self.records += 1;
        self.sequence = record.record().header.sequence;
        self.raw.len() >= BLOCK_BYTES_MAX / 8
    }

    /// Sequence of the last record that was pushed and not forgotten.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Bytes waiting in the open block.
    pub fn pending_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Writes the open block; `end_position` is the lane position after its last record. Not durable
    /// before [`Self::sync`].
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Io`]; the block stays open and can be written again once there is room.
    pub fn write_block(&mut self, end_position: u64) -> Result<(), ArchiveError> {
        if self.records == 0 {
            return Ok(());
        }
        self.rewind()?;
        let start = self.file.stream_position().map_err(|e| self.io(e))?;
        match self.try_write_block(end_position) {
            Ok(hash) => {
                self.previous_hash = hash;
                self.raw.clear();
                self.records = 0;
                Ok(())
            }
            Err(e) => {
                // A half-written block must not stay in front of the next attempt.
                let undo = self.file.set_len(start).and_then(|()| self.file.seek(SeekFrom::Start(start)));
                Err(self.io(undo.err().unwrap_or(e)))
            }
        }
    }

    fn try_write_block(&mut self, end_position: u64) -> io::Result<[u8; 32]> {
        self.stored.resize(zstd::zstd_safe::compress_bound(self.raw.len()), 0);
        let stored_bytes = self.compressor.compress_to_buffer(&self.raw, &mut self.stored)?;
        let stored = &self.stored[..stored_bytes];
        let mut header = BlockHeader {
            magic: BLOCK_MAGIC,
            layout: BLOCK_LAYOUT,
            raw_bytes: self.raw.len() as u32,
            stored_bytes: stored_bytes as u32,
            first_sequence: self.sequence + 1 - self.records,
            last_sequence: self.sequence,
            end_position,
            records: self.records,
            reserved: 0,
            previous_hash: self.previous_hash,
            hash: [0; 32],
            reserved_tail: [0; 8],
        };
        header.hash = header.hash_with(stored);
        self.file.write_all(header.as_bytes())?;
        self.file.write_all(stored)?;
        Ok(header.hash)
    }

    /// Makes every written block durable.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Io`]: nothing may be acknowledged. The system reports a lost write once and succeeds afterwards, so
    /// that what was pushed since the last success is forgotten and has to be pushed again, from behind
    /// [`Self::sequence`].
    pub fn sync(&mut self) -> Result<(), ArchiveError> {
        self.sync_by(File::sync_data)
    }

    fn sync_by(&mut self, sync: impl FnOnce(&File) -> io::Result<()>) -> Result<(), ArchiveError> {
        if let Err(e) = sync(&self.file) {
            self.must_rewind = true;
            self.raw.clear();
            (self.records, self.sequence, self.previous_hash) = (0, self.synced.sequence, self.synced.hash);
            return Err(self.io(e));
        }
        let offset = self.file.stream_position().map_err(|e| self.io(e))?;
        self.synced = End { offset, sequence: self.sequence - self.records, hash: self.previous_hash };
        Ok(())
    }

    /// Cuts off what a failed sync was about.
    fn rewind(&mut self) -> Result<(), ArchiveError> {
        if self.must_rewind {
            let start = self.synced.offset;
            let cut = self.file.set_len(start).and_then(|()| self.file.seek(SeekFrom::Start(start)));
            cut.map_err(|e| self.io(e))?;
            self.must_rewind = false;
        }
        Ok(())
    }

    fn io(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Io { path: self.path.clone(), source }
    }
}

fn file_head(session: u64, lane: u16, metadata: &str) -> Vec<u8> {
    let metadata = &metadata.as_bytes()[..metadata.len().min(META_MAX)];
    let mut head = Vec::with_capacity(FILE_HEAD_BYTES + metadata.len());
    for word in [MAGIC, session, lane.into(), metadata.len() as u64] {
        head.extend_from_slice(&word.to_le_bytes());
    }
    head.extend_from_slice(metadata);
    head
}

/// Finds the end of the last sound block of an archive.
fn scan_end(path: &Path) -> Result<(BlockReport, [u8; 32], u64), ArchiveError> {
    let mut reader = ArchiveReader::open(path)?;
    let mut report = BlockReport::default();
    while let Some(block) = reader.next_block()? {
        report = BlockReport {
            blocks: report.blocks + 1,
            records: report.records + block.records,
            sequence: block.last_sequence,
            position: block.end_position,
        };
    }
    Ok((report, reader.previous_hash, reader.offset))
}

/// Reads an archive from its start, block by block, checking hashes, sequences and checksums.
pub struct ArchiveReader {
    file: File,
    path: PathBuf,
    session: u64,
    lane: u16,
    metadata: String,
    /// Offset of the next block.
    offset: u64,
    previous_hash: [u8; 32],
    block: Vec<u8>,
    block_at: usize,
    sequence: u64,
    /// Last sequence of the block loaded.
    last_sequence: u64,
    position: u64,
}

impl ArchiveReader {
    /// Opens an archive.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] when it cannot be read or is no archive.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let io = |source| ArchiveError::Io { path: path.to_owned(), source };
        let mut file = open_private(path, OpenOptions::new().read(true)).map_err(io)?;
        let mut words = [0_u64; 4];
        file.read_exact(words.as_mut_bytes()).map_err(io)?;
        let [magic, session, lane, meta_bytes] = words;
        if magic != MAGIC || meta_bytes > META_MAX as u64 {
            let why = format!("not an archive (magic {magic:#x})");
            return Err(ArchiveError::Damaged { path: path.to_owned(), offset: 0, sequence: 0, why });
        }
        let mut metadata = vec![0; meta_bytes as usize];
        file.read_exact(&mut metadata).map_err(io)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            session,
            lane: lane as u16,
            metadata: String::from_utf8_lossy(&metadata).into_owned(),
            offset: FILE_HEAD_BYTES as u64 + meta_bytes,
            previous_hash: [0; 32],
            block: Vec::new(),
            block_at: 0,
            sequence: 0,
            last_sequence: 0,
            position: 0,
        })
    }

    /// Last sequence of an archive that is no longer written, by the headers of its blocks alone.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`]; what the blocks hold is not looked at.
    pub fn end_of(path: &Path) -> Result<u64, ArchiveError> {
        let mut reader = Self::open(path)?;
        while let Some(header) = reader.read_block_header()? {
            reader.check_block_header(&header)?;
            reader.sequence = header.last_sequence;
            reader.offset += BLOCK_HEAD_BYTES as u64 + u64::from(header.stored_bytes);
        }
        Ok(reader.sequence)
    }

    /// Session of the archive.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Lane of the archive.
    pub fn lane(&self) -> u16 {
        self.lane
    }

    /// The lane's description of itself.
    pub fn metadata(&self) -> &str {
        &self.metadata
    }

    /// Last sequence read.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Position in the lane after the last block read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the next record into `out`; `None` at the end, where a later call may find more.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Damaged`] names the first record or block that is not sound.
    pub fn next_into(&mut self, out: &mut RecordBuf) -> Result<Option<()>, ArchiveError> {
        while self.block_at >= self.block.len() {
            if self.next_block()?.is_none() {
                return Ok(None);
            }
        }
        let rest = &self.block[self.block_at..];
        let header = RecordHeader::read_from_prefix(rest).map(|(h, _)| h).ok();
        let length = header.map_or(0, |h| h.length as usize);
        let Some(header) = header.filter(|_| (HEADER_BYTES..=rest.len()).contains(&length)) else {
            return Err(
                self.damaged(format!("record length {length} within a block of {}", self.block.len()))
            );
        };
        if header.checksum(&rest[HEADER_BYTES..length]) != header.crc32c {
            return Err(self.damaged(format!("record {}: checksum is wrong", self.sequence + 1)));
        }
        if header.sequence != self.sequence + 1 {
            return Err(self.damaged(format!(
                "sequence {}, expected {}",
                header.sequence,
                self.sequence + 1
            )));
        }
        out.bytes.clear();
        out.bytes.extend_from_slice(&rest[..length]);
        self.block_at += header.stride();
        self.sequence = header.sequence;
        Ok(Some(()))
    }

    /// Loads the next whole block; `None` when only a torn one or nothing is left.
    fn next_block(&mut self) -> Result<Option<BlockHeader>, ArchiveError> {
        let Some(header) = self.read_block_header()? else {
            return Ok(None);
        };
        self.check_block_header(&header)?;
        let stored_bytes = header.stored_bytes as usize;
        let mut stored = vec![0; stored_bytes];
        if !read_whole(&mut self.file, &mut stored).map_err(|e| self.io(e))? {
            return Ok(None);
        }
        if header.previous_hash != self.previous_hash {
            return Err(self.damaged("block does not follow the one before (hash chain)".to_owned()));
        }
        if header.first_sequence != self.last_sequence + 1 {
            let (found, expected) = (header.first_sequence, self.last_sequence + 1);
            return Err(self.damaged(format!("block starts at sequence {found}, expected {expected}")));
        }
        if header.hash != header.hash_with(&stored) {
            return Err(self.damaged("block hash is wrong".to_owned()));
        }
        self.block = zstd::bulk::decompress(&stored, header.raw_bytes as usize).map_err(|e| self.io(e))?;
        self.block_at = 0;
        // A caller that looks at blocks only (the writer's scan) has not counted the records.
        self.sequence = header.first_sequence - 1;
        self.last_sequence = header.last_sequence;
        self.previous_hash = header.hash;
        self.position = header.end_position;
        self.offset += (BLOCK_HEAD_BYTES + stored_bytes) as u64;
        Ok(Some(header))
    }

    fn check_block_header(&self, header: &BlockHeader) -> Result<(), ArchiveError> {
        let is_sound = header.magic == BLOCK_MAGIC
            && header.layout == BLOCK_LAYOUT
            && header.stored_bytes as usize <= zstd::zstd_safe::compress_bound(2 * BLOCK_BYTES_MAX)
            && header.raw_bytes as usize <= 2 * BLOCK_BYTES_MAX;
        if is_sound { Ok(()) } else { Err(self.damaged("block header is not ours".to_owned())) }
    }

    fn read_block_header(&mut self) -> Result<Option<BlockHeader>, ArchiveError> {
        let mut bytes = [0; BLOCK_HEAD_BYTES];
        self.file.seek(SeekFrom::Start(self.offset)).map_err(|e| self.io(e))?;
        let is_whole = read_whole(&mut self.file, &mut bytes).map_err(|e| self.io(e))?;
        Ok(is_whole.then(|| BlockHeader::read_from_bytes(&bytes).ok()).flatten())
    }

    fn io(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Io { path: self.path.clone(), source }
    }

    fn damaged(&self, why: String) -> ArchiveError {
        ArchiveError::Damaged { path: self.path.clone(), offset: self.offset, sequence: self.sequence, why }
    }
}

/// Fills `out`, or returns false when the file ends before.
fn read_whole(file: &mut File, out: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(out) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;
