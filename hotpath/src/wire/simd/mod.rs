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
    /// No vectors.
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

/// A row of shuffle indices for every length; most lengths are poison.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    rows: Box<[[u8; 16]; 32]>,
    /// What the first slot must hold once the digit zero has been taken off.
    proof: u8,
}

const ABSENT: u8 = 0x80;

impl Rows {
    /// Changes in place, without allocating, to decimals with `places` digits behind the point, in units of
    /// `10^-scale`; without a point the number is proven by the quote behind it. False, and no change, when
    /// the places do not fit the scale.
    pub(crate) fn set_decimal(&mut self, places: usize, scale: usize) -> bool {
        let Some(zeros) = scale.checked_sub(places) else { return false };
        if places == 0 {
            self.proof = b'"'.wrapping_sub(ZERO);
            self.fill(zeros, |len| (len, len, None));
        } else {
            self.proof = b'.'.wrapping_sub(ZERO);
            self.fill(zeros, |len| match len.checked_sub(places + 1) {
                // At least one digit before the point.
                Some(point) if point > 0 => (len - 1, point, Some(point)),
                _ => (0, 0, None),
            });
        }
        true
    }

    /// Rows for integers that `terminator` follows.
    pub(crate) fn integer(terminator: u8) -> Self {
        let mut rows = Self { rows: Box::new([[ABSENT; 16]; 32]), proof: Self::integer_proof(terminator) };
        rows.fill(0, |len| (len, len, None));
        rows
    }

    /// `shape` gives for a length the number of digits, the position of the proof and of the point.
    fn fill(&mut self, zeros: usize, shape: impl Fn(usize) -> (usize, usize, Option<usize>)) {
        *self.rows = [[ABSENT; 16]; 32];
        for len in 1..=16 {
            let (digits, proof, point) = shape(len);
            if digits == 0 || digits + zeros > DIGITS_MAX || proof > 15 {
                continue;
            }
            let row = &mut self.rows[len];
            row[0] = proof as u8;
            for digit in 0..digits {
                let from = digits - 1 - digit;
                let skipped = usize::from(point.is_some_and(|point| from >= point));
                row[15 - zeros - digit] = (from + skipped) as u8;
            }
        }
    }

    /// What the first slot must hold.
    pub(crate) fn proof(&self) -> u8 {
        self.proof
    }

    /// What the first slot must hold for integers that `terminator` follows.
    pub(crate) fn integer_proof(terminator: u8) -> u8 {
        terminator.wrapping_sub(ZERO)
    }

    /// The row for a length; lengths of 32 and more are the caller's to refuse.
    #[inline(always)]
    pub(crate) fn row(&self, len: usize) -> *const u8 {
        self.rows[len & 31].as_ptr()
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
    unsafe fn is_clean(bad: Self::Bad) -> bool;

    /// Both.
    unsafe fn merge(bad: Self::Bad, step: Self::Bad) -> Self::Bad;

    /// The first, and the lower two numbers of the second.
    unsafe fn merge_low(bad: Self::Bad, step: Self::Bad) -> Self::Bad;

    /// True when the literal stands at a position. Literals above 64 bytes read up to 64 bytes further.
    unsafe fn matches(at: *const u8, literal: &Literal) -> bool;

    /// Writes the positions of all quotes from a position to the end of the text and returns how many there
    /// are; 0 when they do not fit `out`, which needs room for a block of 64 beyond the last.
    unsafe fn quotes(text: Text<'_>, from: usize, out: &mut [u32]) -> usize;

    /// Converts four numbers and stores them.
    unsafe fn numbers(
        at: [*const u8; 4],
        rows: [*const u8; 4],
        proof: &Proof,
        out: *mut [i64; 4],
    ) -> Self::Bad;
}

#[cfg(test)]
mod tests;
