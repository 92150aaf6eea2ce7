//! A text followed by readable bytes, so that vectors may be loaded from any of its positions.

#![expect(unsafe_code, reason = "hands out positions for vector loads")]

/// Bytes that must be readable behind a text.
pub const PADDING: usize = 128;

/// How far behind the end of the text a vector load of 64 bytes may start.
const BEYOND: usize = PADDING - 64;

/// A text within a larger buffer.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The text and at least [`PADDING`] bytes more.
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Text<'a> {
    /// The first `len` bytes of a buffer; `None` when fewer than [`PADDING`] bytes follow them.
    #[inline]
    pub fn new(bytes: &'a [u8], len: usize) -> Option<Self> {
        (bytes.len() >= len + PADDING).then_some(Self { bytes, len })
    }

    /// The text itself.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        &self.bytes[..self.len]
    }

    /// Length of the text.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for no text at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where a vector of up to 64 bytes may be loaded from.
    ///
    /// # Safety
    ///
    /// The position is at most [`PADDING`] - 64 bytes behind the end of the text.
    #[inline(always)]
    pub(crate) unsafe fn at(&self, position: usize) -> *const u8 {
        debug_assert!(position <= self.len + BEYOND, "position {position} of {}", self.len);
        // SAFETY: the padding follows the text.
        unsafe { self.bytes.as_ptr().add(position) }
    }
}
