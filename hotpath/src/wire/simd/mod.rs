//! Vector kernels of the frame decoder: where strings begin or end, whether a literal stands somewhere, and four
//! numbers at once. One implementation an instruction set, chosen at run time.
//!
//! A number is loaded as 16 bytes from its first digit. One table row, chosen by lengths, right-aligns
//! the digits, drops the point and adds the zeros up to the wanted scale; the row's first slots hold the
//! bytes that prove the length (the point, or what must follow). A wrong length or byte leaves too large
//! a value somewhere, so the most that was seen in each slot checks everything; three multiply-adds convert.

#![expect(unsafe_code, reason = "vector intrinsics load from raw positions")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod mask;
mod rows;

pub(crate) use mask::mask;
pub(crate) use rows::{LEVELS_MOST, LevelRow, LevelRows, MOST, Proof, Row, Rows};

#[cfg(target_arch = "x86_64")]
pub(crate) use {avx2::Avx2, avx512::Avx512};

use super::text::Text;
use crate::book::Divisor;

/// Instruction sets that the decoder has code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512 with VBMI2 (x86-64, from Ice Lake and Zen 4 on).
    Avx512,
    /// AVX2 with BMI2 (x86-64, from Haswell and Zen 3 on; earlier Zens have it, and a slow bit deposit).
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
                && is_x86_feature_detected!("avx512dq")
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

/// A text of which some bytes are open.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Pattern {
    /// Zero where any byte may stand: a second table of what is fixed would be as large, and as far.
    bytes: [u8; Self::MAX],
    /// What is fixed, a bit a byte.
    masks: [u64; Self::MAX / 64],
    blocks: usize,
}

impl Default for Pattern {
    fn default() -> Self {
        Self { bytes: [0; Self::MAX], masks: [0; Self::MAX / 64], blocks: 0 }
    }
}

impl Pattern {
    /// Longest text.
    pub(crate) const MAX: usize = 256;

    /// Takes a text with every byte fixed; `false` for one that is too long or has a zero in it.
    pub(crate) fn cover(&mut self, text: &[u8]) -> bool {
        *self = Self::default();
        if text.len() > Self::MAX || text.contains(&0) {
            return false;
        }
        self.bytes[..text.len()].copy_from_slice(text);
        self.blocks = text.len().div_ceil(64);
        (0..text.len()).for_each(|at| self.masks[at / 64] |= 1 << (at % 64));
        true
    }

    /// Opens some bytes.
    pub(crate) fn open(&mut self, start: usize, len: usize) {
        for at in start..start + len {
            self.bytes[at] = 0;
            self.masks[at / 64] &= !(1 << (at % 64));
        }
    }
}

/// Marks of a text's last block of 64 bytes that are not of the text, which ends `beyond` bytes before the block does.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
const fn marks_beyond(block: u64, beyond: usize) -> usize {
    block.unbounded_shr(64 - beyond as u32).count_ones() as usize
}

/// Primitives of one instruction set.
///
/// # Safety
///
/// Methods run only where the processor has the set, and are inlined into a function that enables it.
/// Positions come from a [`Text`], which has readable bytes behind every position.
pub(crate) trait Kernel {
    /// The most that has stood in each slot of four numbers once their proofs were taken off.
    type Seen: Copy;

    /// Nothing yet.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    unsafe fn nothing() -> Self::Seen;

    /// True when that is at most what may be there: [`MOST`] or [`LEVELS_MOST`].
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    unsafe fn is_within(seen: Self::Seen, most: &Proof) -> bool;

    /// Both.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    unsafe fn merge(seen: Self::Seen, step: Self::Seen) -> Self::Seen;

    /// The first, and the lower two numbers of the second.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    unsafe fn merge_low(seen: Self::Seen, step: Self::Seen) -> Self::Seen;

    /// True when the literal stands at a position. Literals above 64 bytes read up to 64 bytes further.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`]. 128 bytes are readable behind the position.
    unsafe fn matches(at: *const u8, literal: &Literal) -> bool;

    /// Entries of the index a string: both of its quotes, or the last one alone, since where a string begins follows from
    /// what stands before it.
    const ENTRIES: usize;

    /// Writes an index of the strings from a position, where none is open, to the end of the text, and returns how many
    /// entries it has; 0 when they do not fit `out`, which needs room for as many more as a block may have.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`].
    unsafe fn strings(text: Text<'_>, from: usize, out: &mut [u32]) -> usize;

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

    /// As [`Self::numbers`], with the rows in one piece; what is less than `least` is seen as far too much.
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
    ) -> Self::Seen;

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
    ) -> Self::Seen;

    /// Converts price and quantity of two levels, from the first digit of each, and stores them: each quantity is where
    /// the row's price ends, as [`LevelRows`] asks for. The second result is
    /// how many prices were no multiples of the tick: of the first level, and of both.
    ///
    /// # Safety
    ///
    /// As of [`Kernel`]. Sixteen bytes are readable behind each position, and `out` may be written.
    unsafe fn levels(
        at: [*const u8; 4],
        rows: [&LevelRow; 2],
        proof: &Proof,
        tick: Divisor,
        out: *mut [i64; 4],
    ) -> (Self::Seen, [u32; 2]);
}

#[cfg(test)]
mod tests;
