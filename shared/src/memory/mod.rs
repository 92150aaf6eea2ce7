//! Files mapped into memory and shared between processes.
//!
//! The only place of `shared` with raw pointers: everybody else sees bounds-checked atomics and copies.

#![expect(unsafe_code, reason = "mapped files are shared with other processes and have no safe interface")]

mod sigbus;

pub use sigbus::install_sigbus_handler;

use crate::paths::open_private;
use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::FallocateFlags;
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    slice,
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
};
use thiserror::Error;

/// Why a shared file could not be created or opened.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// The file system has no room: found out before the first store, not by SIGBUS.
    #[error("{}: needs {needed} bytes, file system has {free} free; make it larger, or set journal.dir to another place", path.display())]
    NoSpace {
        /// The file.
        path: PathBuf,
        /// Bytes asked for.
        needed: u64,
        /// Bytes free there.
        free: u64,
    },
    /// The file is shorter than its layout: truncated by somebody.
    #[error("{}: is {found} bytes long, its layout needs {needed}: truncated or not ours", path.display())]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: u64,
        /// Bytes its layout needs.
        needed: u64,
    },
    /// Any other refusal by the system.
    #[error("{}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A file mapped whole. The mapping stays valid while the value lives; the content is shared memory that
/// other processes may change at any time, so it is reached through atomics and copies only.
#[derive(Debug)]
pub struct MappedFile {
    map: MmapRaw,
    file: File,
    path: PathBuf,
    inode: u64,
}

impl MappedFile {
    /// Creates a new file of `len` bytes: allocated (never sparse), zeroed, mapped, every page touched.
    ///
    /// # Errors
    ///
    /// [`MemoryError::NoSpace`] when the file system is too small; [`MemoryError::Io`] otherwise.
    pub fn create(path: &Path, len: u64) -> Result<Self, MemoryError> {
        let io = |source| MemoryError::Io { path: path.to_owned(), source };
        let file =
            open_private(path, OpenOptions::new().read(true).write(true).create_new(true)).map_err(io)?;
        if let Err(e) = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len) {
            let _ = std::fs::remove_file(path);
            return Err(match e {
                rustix::io::Errno::NOSPC => {
                    MemoryError::NoSpace { path: path.to_owned(), needed: len, free: free_bytes(path) }
                }
                other => io(other.into()),
            });
        }
        let mut options = MmapOptions::new();
        let map = options.populate().map_raw(&file).map_err(io)?;
        Self::new(map, file, path)
    }

    /// Maps an existing file for reading and writing.
    ///
    /// # Errors
    ///
    /// [`MemoryError::TooShort`] below `len_min` bytes; [`MemoryError::Io`] otherwise.
    pub fn open(path: &Path, len_min: u64) -> Result<Self, MemoryError> {
        let file = Self::open_checked(path, len_min, true)?;
        let map = MmapOptions::new()
            .map_raw(&file)
            .map_err(|source| MemoryError::Io { path: path.to_owned(), source })?;
        Self::new(map, file, path)
    }

    /// Maps an existing file read-only. Stores through the returned value's atomics are not possible:
    /// the caller only loads and copies.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_read_only(path: &Path, len_min: u64) -> Result<ReadOnlyFile, MemoryError> {
        let file = Self::open_checked(path, len_min, false)?;
        let map = MmapOptions::new()
            .map_raw_read_only(&file)
            .map_err(|source| MemoryError::Io { path: path.to_owned(), source })?;
        Ok(ReadOnlyFile(Self::new(map, file, path)?))
    }

    fn open_checked(path: &Path, len_min: u64, write: bool) -> Result<File, MemoryError> {
        let io = |source| MemoryError::Io { path: path.to_owned(), source };
        let file = open_private(path, OpenOptions::new().read(true).write(write)).map_err(io)?;
        let found = file.metadata().map_err(io)?.len();
        if found < len_min || found == 0 {
            return Err(MemoryError::TooShort { path: path.to_owned(), found, needed: len_min });
        }
        Ok(file)
    }

    fn new(map: MmapRaw, file: File, path: &Path) -> Result<Self, MemoryError> {
        let inode =
            file.metadata().map_err(|source| MemoryError::Io { path: path.to_owned(), source })?.ino();
        Ok(Self { map, file, path: path.to_owned(), inode })
    }

    /// Mapped bytes.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// True when nothing is mapped, which the constructors prevent.
    pub fn is_empty(&self) -> bool {
        self.map.len() == 0
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks the system to keep the pages in memory. Reason is reported, never fatal.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn lock(&self) -> io::Result<()> {
        self.map.lock()
    }

    /// Whether the file's pages are huge. The file system decides when they are allocated, by its mount option, so
    /// that this is asked of it and found out afterwards.
    ///
    /// # Errors
    ///
    /// Why they are not.
    pub fn has_huge_pages(&self) -> io::Result<()> {
        let address = format!("{:x}-", self.map.as_ptr() as usize);
        let maps = std::fs::read_to_string("/proc/self/smaps")?;
        let lines = maps.lines().skip_while(|line| !line.starts_with(&address));
        let huge_kib = lines.filter_map(|line| line.strip_prefix("ShmemPmdMapped:")).next();
        let huge_kib = huge_kib.and_then(|text| text.trim().trim_end_matches(" kB").parse::<usize>().ok());
        match huge_kib {
            Some(kib) if kib * 1024 * 10 >= self.len() * 9 => Ok(()),
            Some(kib) => Err(io::Error::other(format!(
                "{} of {} MiB: mount /dev/shm with huge=within_size",
                kib >> 10,
                self.len() >> 20
            ))),
            None => Err(io::Error::other("the system does not tell")),
        }
    }

    /// Checks that the path still names this file at its full length; the reason when it does not.
    pub fn tampering(&self) -> Option<String> {
        let path = self.path.display();
        match std::fs::symlink_metadata(&self.path) {
            Err(e) => Some(format!("{path}: gone ({e})")),
            Ok(now) if now.ino() != self.inode => Some(format!("{path}: replaced by another file")),
            Ok(now) if now.len() < self.len() as u64 => {
                Some(format!("{path}: truncated to {} of {} bytes", now.len(), self.len()))
            }
            Ok(_) => None,
        }
    }

    /// Length of the file now, which somebody may have cut below the mapping.
    pub fn file_len(&self) -> u64 {
        self.file.metadata().map_or(0, |m| m.len())
    }

    /// The aligned 32-bit word at `offset`.
    ///
    /// # Panics
    ///
    /// When `offset` is not a multiple of 4 or the word is not mapped.
    #[inline]
    pub fn u32_at(&self, offset: usize) -> &AtomicU32 {
        self.check(offset, 4, 4);
        // SAFETY: in bounds and aligned (checked above); the mapping lives as long as `self`; every access
        // to this word by us or by other processes is atomic by the layout's rule.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(offset).cast()) }
    }

    /// The aligned 64-bit word at `offset`.
    ///
    /// # Panics
    ///
    /// When `offset` is not a multiple of 8 or the word is not mapped.
    #[inline]
    pub fn u64_at(&self, offset: usize) -> &AtomicU64 {
        self.check(offset, 8, 8);
        // SAFETY: as in `u32_at`.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(offset).cast()) }
    }

    /// Consecutive 64-bit words starting at `offset`.
    ///
    /// # Panics
    ///
    /// As [`Self::u64_at`], for the whole range.
    #[inline]
    pub fn u64s_at(&self, offset: usize, count: usize) -> &[AtomicU64] {
        self.check(offset, count * 8, 8);
        // SAFETY: as in `u32_at`, for `count` words; AtomicU64 has the layout of u64.
        unsafe { slice::from_raw_parts(self.map.as_ptr().add(offset).cast::<AtomicU64>(), count) }
    }

    /// Copies bytes out of shared memory. They may be torn when another process writes them: the caller
    /// checks a length word, a generation or a checksum.
    ///
    /// # Panics
    ///
    /// When the range is not mapped.
    pub fn copy_to(&self, offset: usize, out: &mut [u8]) {
        self.check(offset, out.len(), 1);
        // SAFETY: the range is mapped (checked above) and `out` is exclusive memory of ours.
        unsafe { std::ptr::copy_nonoverlapping(self.map.as_ptr().add(offset), out.as_mut_ptr(), out.len()) }
    }

    /// Copies bytes into shared memory that no reader looks at before a later release-store.
    ///
    /// # Panics
    ///
    /// When the range is not mapped.
    pub fn copy_from(&self, offset: usize, bytes: &[u8]) {
        self.check(offset, bytes.len(), 1);
        // SAFETY: the range is mapped (checked above); the layout gives it to one writer at a time, and
        // readers take these bytes only after the word published behind them.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.map.as_mut_ptr().add(offset), bytes.len());
        }
    }

    /// Asks the cache for the line at `offset`, to be written soon. A hint: any offset is allowed.
    #[inline(always)]
    pub fn prefetch_for_write(&self, offset: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use core::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            let line = self.map.as_ptr().wrapping_add(offset);
            // SAFETY: a prefetch reads and writes nothing and faults on no address.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.cast()) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = offset;
    }

    /// Zeroes a range that belongs to nobody at the moment.
    ///
    /// # Panics
    ///
    /// When the range is not mapped.
    pub fn zero(&self, offset: usize, len: usize) {
        self.check(offset, len, 1);
        // SAFETY: as in `copy_from`.
        unsafe { std::ptr::write_bytes(self.map.as_mut_ptr().add(offset), 0, len) }
    }

    /// Exclusive view of unpublished bytes for building a record in place.
    ///
    /// # Safety
    ///
    /// The range must be unpublished and owned by the caller, the lane's only writer, until the returned
    /// borrow ends.
    ///
    /// # Panics
    ///
    /// When the range is not mapped.
    #[expect(clippy::mut_from_ref, reason = "the mapping hands out disjoint ranges, like an allocator")]
    // SAFETY: the caller's part stands under `# Safety`; the function's own is checked in it.
    pub unsafe fn bytes_mut(&self, offset: usize, len: usize) -> &mut [u8] {
        self.check(offset, len, 1);
        // SAFETY: mapped (checked above); exclusive by the caller's promise.
        unsafe { slice::from_raw_parts_mut(self.map.as_mut_ptr().add(offset), len) }
    }

    #[inline(always)]
    fn check(&self, offset: usize, len: usize, align: usize) {
        let is_mapped = offset.checked_add(len).is_some_and(|end| end <= self.map.len());
        if !is_mapped || !offset.is_multiple_of(align) {
            self.refuse(offset, len, align);
        }
    }

    /// Apart, so that what the text is made of is not laid out in memory before every access.
    #[cold]
    #[inline(never)]
    fn refuse(&self, offset: usize, len: usize, align: usize) -> ! {
        panic!(
            "range {offset}+{len} aligned {align} is outside the {} mapped bytes of {}",
            self.map.len(),
            self.path.display()
        );
    }
}

/// A file mapped without the right to write.
#[derive(Debug)]
pub struct ReadOnlyFile(MappedFile);

impl ReadOnlyFile {
    /// Loads the 32-bit word at `offset` and everything published before it.
    pub fn load_u32(&self, offset: usize) -> u32 {
        self.0.u32_at(offset).load(Ordering::Acquire)
    }

    /// Loads the 64-bit word at `offset` and everything published before it.
    pub fn load_u64(&self, offset: usize) -> u64 {
        self.0.u64_at(offset).load(Ordering::Acquire)
    }

    /// As [`MappedFile::copy_to`].
    pub fn copy_to(&self, offset: usize, out: &mut [u8]) {
        self.0.copy_to(offset, out);
    }

    /// Mapped bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing is mapped, which the constructor prevents.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// As [`MappedFile::tampering`].
    pub fn tampering(&self) -> Option<String> {
        self.0.tampering()
    }

    /// As [`MappedFile::file_len`].
    pub fn file_len(&self) -> u64 {
        self.0.file_len()
    }
}

/// Touches the stack of a new thread so that the hot path takes no page fault there later.
pub fn touch_stack() {
    const BYTES: usize = 256 * 1024;
    let mut pages = [0_u8; BYTES];
    for page in pages.chunks_mut(4096) {
        // SAFETY: an atomic view of our own bytes, so that the stores are not optimised away.
        unsafe { AtomicU8::from_ptr(page.as_mut_ptr()) }.store(1, Ordering::Relaxed);
    }
}

/// Free bytes of the file system that holds `path` or would hold it; 0 when that cannot be told.
pub fn free_bytes(path: &Path) -> u64 {
    let existing = path.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("/"));
    rustix::fs::statvfs(existing).map_or(0, |s| s.f_bavail * s.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_mapping_stores_another_loads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shared");
        let writer = MappedFile::create(&path, 8192).unwrap();
        let reader = MappedFile::open_read_only(&path, 8192).unwrap();
        writer.copy_from(64, b"payload");
        writer.u64_at(0).store(7, Ordering::Release);
        assert_eq!(reader.load_u64(0), 7);
        let mut out = [0; 7];
        reader.copy_to(64, &mut out);
        assert_eq!(&out, b"payload");
    }

    #[test]
    fn a_file_is_created_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shared");
        MappedFile::create(&path, 4096).unwrap();
        assert!(matches!(MappedFile::create(&path, 4096), Err(MemoryError::Io { .. })));
    }

    #[test]
    fn a_truncated_file_is_refused_and_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shared");
        let map = MappedFile::create(&path, 8192).unwrap();
        assert_eq!(map.tampering(), None);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
        assert!(map.tampering().is_some_and(|why| why.contains("truncated")));
        assert!(matches!(MappedFile::open(&path, 8192), Err(MemoryError::TooShort { .. })));
    }

    #[test]
    #[should_panic(expected = "outside")]
    fn access_beyond_the_mapping_panics() {
        let dir = tempfile::tempdir().unwrap();
        let map = MappedFile::create(&dir.path().join("shared"), 4096).unwrap();
        map.u64_at(4096);
    }
}
