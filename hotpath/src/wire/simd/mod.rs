//! Vector kernels of the frame decoder: where the quotes are, whether a literal stands somewhere, and four
//! numbers at once. One implementation an instruction set, chosen at run time.
//!
//! A number is loaded as 16 bytes from its first digit. One table row, chosen by its length, right-aligns
//! the digits, drops the point and adds the zeros up to the wanted scale; the row's first slot holds the
//! byte that proves the length (the point, or what must follow). A wrong length or byte leaves too large
//! a value somewhere, so one saturating subtraction checks everything; three multiply-adds convert.

#![expect(unsafe_code, reason = "vector intrinsics load from raw positions")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod mask;

pub(crate) use mask::mask;

#[cfg(target_arch = "x86_64")]
pub(crate) use {avx2::Avx2, avx512::Avx512};

use super::text::Text;

/// Instruction sets that the decoder has code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 with VBMI2 (x86-64, from Ice Lake and Zen 4 on).
    Avx512,
    /// AVX2 with BMI2 (x86-64, from Haswell and Zen 3 on).
    Avx2,
    /// What every processor of the architecture has. On x86-64 that includes SSE2.
    Plain,
}

impl Isa {
    /// Environment variable that forces a lesser set than the processor has, for tests and comparisons.
    pub const VARIABLE: &str = "TICKPATH_SIMD";

    /// The best set of this processor, or the one that [`Self::VARIABLE`] names.
    ///
    /// # Errors
    ///
    /// The variable names no set, or one that this processor lacks.
    pub fn choose() -> Result<Self, String> {
        match std::env::var(Self::VARIABLE) {
            Ok(name) => Self::named(&name),
            Err(_) => Ok(Self::available()[0]),
        }
    }

    /// The set of that name.
    ///
    /// # Errors
    ///
    /// No set has the name, or this processor lacks it.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = Self::available().into_iter().find(|isa| isa.name() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::available().iter().map(|isa| isa.name()).collect();
            format!("{}: {name:?} is none of {}", Self::VARIABLE, names.join(", "))
        })
    }

    /// Sets of this processor, best first.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt");
            let has_avx512 = has_avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vbmi2");
            found.extend(has_avx512.then_some(Self::Avx512));
            found.extend(has_avx2.then_some(Self::Avx2));
        }
        found.push(Self::Plain);
        found
    }

    /// Name in [`Self::VARIABLE`] and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Plain => "plain",
        }
    }
}

/// A fixed piece of text of at most [`Literal::MAX`] bytes.
#[derive(Clone, Debug)]
pub(crate) struct Literal {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl Literal {
    /// Longest literal.
    pub(crate) const MAX: usize = 128;

    /// The literal; `None` when it is too long.
    pub(crate) fn new(parts: &[&[u8]]) -> Option<Self> {
        let text = parts.concat();
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(&text);
        Some(Self { bytes, len: text.len() })
    }

    /// The text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// Digits a vector number may have, added zeros included.
const DIGITS_MAX: usize = 15;

/// Taken off every byte before it is compared.
const ZERO: u8 = b'0';

const ABSENT: u8 = 0x80;

/// Shuffle indices of four numbers of known lengths.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Row([u8; 64]);

impl Default for Row {
    fn default() -> Self {
        Self([ABSENT; 64])
    }
}

impl Row {
    /// Indices and proof of a number of `len` bytes with `places` digits behind its point, in units of
    /// `10^-scale`; without a point `terminator`, which follows it, is the proof. `None` when it has too many
    /// digits or does not fit the scale.
    pub(crate) fn lane(len: usize, places: usize, scale: usize, terminator: u8) -> Option<([u8; 16], u8)> {
        let zeros = scale.checked_sub(places)?;
        let point = if places == 0 { None } else { Some(len.checked_sub(places + 1)?) };
        let digits = len - usize::from(point.is_some());
        let proof = point.unwrap_or(len);
        // At least one digit stands before the point.
        if digits == 0 || point == Some(0) || digits + zeros > DIGITS_MAX || proof > 15 || len > 16 {
            return None;
        }
        let mut row = [ABSENT; 16];
        row[0] = proof as u8;
        for digit in 0..digits {
            let from = digits - 1 - digit;
            let skipped = usize::from(point.is_some_and(|point| from >= point));
            row[15 - zeros - digit] = (from + skipped) as u8;
        }
        let byte = if point.is_some() { b'.' } else { terminator };
        Some((row, byte.wrapping_sub(ZERO)))
    }

    pub(crate) fn set(&mut self, lane: usize, row: [u8; 16]) {
        self.0[lane * 16..][..16].copy_from_slice(&row);
    }

    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        self.0.copy_within(from * 16..(from + 1) * 16, to * 16);
    }
}

/// A row of shuffle indices for every length; most lengths are poison.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    rows: Box<[[u8; 16]; 32]>,
    /// What the first slot must hold once the digit zero has been taken off.
    proof: u8,
}

impl Rows {
    /// Rows for integers that `terminator` follows.
    pub(crate) fn integer(terminator: u8) -> Self {
        let mut rows = Self { rows: Box::new([[ABSENT; 16]; 32]), proof: 0 };
        rows.fill(0, 0, terminator);
        rows
    }

    /// Changes in place, without allocating, to quoted decimals with `places` digits behind the point, in
    /// units of `10^-scale`. With more places than the scale has, every length is poison.
    pub(crate) fn set_decimal(&mut self, places: usize, scale: usize) {
        self.fill(places, scale, b'"');
    }

    fn fill(&mut self, places: usize, scale: usize, terminator: u8) {
        self.proof = (if places == 0 { terminator } else { b'.' }).wrapping_sub(ZERO);
        for (len, row) in self.rows.iter_mut().enumerate() {
            *row = Row::lane(len, places, scale, terminator).map_or([ABSENT; 16], |(row, _)| row);
        }
    }

    /// What the first slot must hold.
    pub(crate) fn proof(&self) -> u8 {
        self.proof
    }

    /// The row for a length; lengths of 32 and more are the caller's to refuse.
    #[inline(always)]
    pub(crate) fn row(&self, len: usize) -> *const u8 {
        self.rows[len & 31].as_ptr()
    }
}

/// A text of which some bytes are open.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Pattern {
    bytes: [u8; Self::MAX],
    /// All ones where the byte must be the same.
    fixed: [u8; Self::MAX],
    /// The same, a bit a byte.
    masks: [u64; Self::MAX / 64],
    blocks: usize,
}

impl Default for Pattern {
    fn default() -> Self {
        Self { bytes: [0; Self::MAX], fixed: [0; Self::MAX], masks: [0; Self::MAX / 64], blocks: 0 }
    }
}

impl Pattern {
    /// Longest text.
    pub(crate) const MAX: usize = 256;

    /// Takes a text with every byte fixed.
    pub(crate) fn cover(&mut self, text: &[u8]) {
        *self = Self::default();
        let len = text.len().min(Self::MAX);
        self.bytes[..len].copy_from_slice(&text[..len]);
        self.blocks = len.div_ceil(64);
        (0..len).for_each(|at| self.set(at, true));
    }

    /// Opens some bytes.
    pub(crate) fn open(&mut self, start: usize, len: usize) {
        (start..start + len).for_each(|at| self.set(at, false));
    }

    fn set(&mut self, at: usize, is_fixed: bool) {
        self.fixed[at] = if is_fixed { 0xff } else { 0 };
        self.masks[at / 64] &= !(1 << (at % 64));
        self.masks[at / 64] |= u64::from(is_fixed) << (at % 64);
    }
}

/// What the first slots of four numbers must hold.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Proof([u8; 64]);

impl Default for Proof {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Proof {
    pub(crate) fn new(each: [u8; 4]) -> Self {
        let mut proof = Self::default();
        for (lane, byte) in each.into_iter().enumerate() {
            proof.0[lane * 16] = byte;
        }
        proof
    }

    pub(crate) fn set(&mut self, lane: usize, proof: u8) {
        self.0[lane * 16] = proof;
    }

    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        self.0[to * 16] = self.0[from * 16];
    }
}

/// The most that may stand in each slot: nothing in the first, a digit in the others.
static MOST: Proof = {
    let mut bytes = [9; 64];
    let mut lane = 0;
    while lane < 64 {
        bytes[lane] = 0;
        lane += 16;
    }
    Proof(bytes)
};

/// Primitives of one instruction set.
///
/// # Safety
///
/// Methods run only where the processor has the set, and are inlined into a function that enables it.
/// Positions come from a [`Text`], which has readable bytes behind every position.
pub(crate) trait Kernel {
    /// Bytes that were no digits; clean at the start.
    type Bad: Copy;

    /// True while nothing was bad.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    unsafe fn is_clean(bad: Self::Bad) -> bool;

    /// Both.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    unsafe fn merge(bad: Self::Bad, step: Self::Bad) -> Self::Bad;

    /// The first, and the lower two numbers of the second.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    unsafe fn merge_low(bad: Self::Bad, step: Self::Bad) -> Self::Bad;

    /// True when the literal stands at a position. Literals above 64 bytes read up to 64 bytes further.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`]. 128 bytes are readable behind the position.
    unsafe fn matches(at: *const u8, literal: &Literal) -> bool;

    /// Writes the positions of all quotes from a position to the end of the text and returns how many there
    /// are; 0 when they do not fit `out`, which needs room for a block of 64 beyond the last.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    unsafe fn quotes(text: Text<'_>, from: usize, out: &mut [u32]) -> usize;

    /// Mask of the quotes among 64 bytes.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`]. 64 bytes are readable behind the position.
    unsafe fn quote_mask(at: *const u8) -> u64;

    /// True when a text is a pattern but for its open bytes.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`]. As many bytes as the pattern has, filled up to 64, are readable behind the position.
    unsafe fn fits(at: *const u8, pattern: &Pattern) -> bool;

    /// As [`Self::numbers`], with the rows in one piece, and bad what is less than `least`.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`]. Sixteen bytes are readable behind each position, and `out` may be written.
    unsafe fn numbers_of(
        at: [*const u8; 4],
        row: &Row,
        proof: &Proof,
        least: &[i64; 4],
        out: *mut [i64; 4],
    ) -> Self::Bad;

    /// Converts four numbers and stores them.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`]. Sixteen bytes are readable behind each position and at each row, and `out` may be written.
    unsafe fn numbers(
        at: [*const u8; 4],
        rows: [*const u8; 4],
        proof: &Proof,
        out: *mut [i64; 4],
    ) -> Self::Bad;
}

#[cfg(test)]
mod tests;
