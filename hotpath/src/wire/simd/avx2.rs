//! The kernels with AVX2: ends of strings by bit extraction, two vectors of two numbers.

use super::{Kernel, LevelRow, Literal, Pattern, Proof, Row, marks_beyond};
use crate::{book::Divisor, wire::text::Text};
use std::arch::x86_64::*;

/// See [`super::Isa::Avx2`].
pub(crate) struct Avx2;

/// # Safety
///
/// The caller has enabled AVX2, BMI1 and BMI2; both pointers have sixteen readable bytes.
#[inline(always)]
unsafe fn two(low: *const u8, high: *const u8) -> __m256i {
    // SAFETY: the caller has enabled the features; sixteen bytes are readable at both.
    unsafe {
        let (low, high) = (_mm_loadu_si128(low.cast()), _mm_loadu_si128(high.cast()));
        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
    }
}

/// Mask of the bytes of 32 that are the same in both.
///
/// # Safety
///
/// The caller has enabled AVX2, BMI1 and BMI2; both pointers have 32 readable bytes.
#[inline(always)]
unsafe fn equal32(text: *const u8, wanted: *const u8) -> u32 {
    // SAFETY: the caller has enabled the features; 32 bytes are readable at both.
    unsafe {
        let (text, wanted) = (_mm256_loadu_si256(text.cast()), _mm256_loadu_si256(wanted.cast()));
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(text, wanted)) as u32
    }
}

/// Mask of the bytes of 64 that equal a byte.
///
/// # Safety
///
/// The caller has enabled AVX2, BMI1 and BMI2; the pointer has 64 readable bytes.
#[inline(always)]
unsafe fn equal64(at: *const u8, byte: __m256i) -> u64 {
    // SAFETY: the caller has enabled the features; 64 bytes are readable.
    unsafe {
        let low = _mm256_cmpeq_epi8(_mm256_loadu_si256(at.cast()), byte);
        let high = _mm256_cmpeq_epi8(_mm256_loadu_si256(at.add(32).cast()), byte);
        u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32
    }
}

/// Two numbers as groups of four digits, 32 bits each; the second result is what their slots hold after the proof.
///
/// # Safety
///
/// The caller has enabled AVX2, BMI1 and BMI2.
#[inline(always)]
unsafe fn fours(text: __m256i, rows: __m256i, proof: __m256i) -> (__m256i, __m256i) {
    // SAFETY: the caller has enabled the features, and registers are all it touches.
    unsafe {
        let digits = _mm256_sub_epi8(text, _mm256_set1_epi8(b'0' as i8));
        let proven = _mm256_xor_si256(_mm256_shuffle_epi8(digits, rows), proof);
        let twos = _mm256_maddubs_epi16(proven, _mm256_set1_epi16(0x010a));
        (_mm256_madd_epi16(twos, _mm256_set1_epi32(0x0001_0064)), proven)
    }
}

/// Positions written without looking how many there are: a block of levels has about six strings.
const FIRST: usize = 8;
/// Positions written at once after those.
const STEP: usize = 4;

/// Most strings that end in a block.
const MOST: usize = 32;

// No more are written than a block may have.
const _: () = assert!((MOST - FIRST).is_multiple_of(STEP));

/// Which of a block's quotes end a string: every second one, by turns with what came before. Bits are taken out of a mask
/// one by one here: half as many are half the work.
struct Turn(u64);

impl Turn {
    /// No string is open.
    const FIRST: Self = Self(0xaaaa_aaaa_aaaa_aaaa);

    /// The quotes of the next block that end a string.
    ///
    /// # Safety
    ///
    /// The caller has enabled BMI2.
    #[inline(always)]
    unsafe fn ends(&mut self, quotes: u64) -> u64 {
        // SAFETY: the caller has enabled the feature.
        let ends = unsafe { _pdep_u64(self.0, quotes) };
        // After an odd number of quotes it is the other ones' turn.
        self.0 ^= 0_u64.wrapping_sub(u64::from(quotes.count_ones() & 1));
        ends
    }
}

/// Writes the positions of the lowest `N` bits and returns the others.
///
/// # Safety
///
/// The caller has enabled AVX2, BMI1 and BMI2; the pointer has room for `N` positions.
#[inline(always)]
unsafe fn positions<const N: usize>(to: *mut u32, at: usize, mask: u64) -> u64 {
    // SAFETY: the caller has enabled the features; there is room for so many positions.
    unsafe {
        let mut left = mask;
        let mut i = 0;
        while i < N {
            // Volatile keeps the compiler from packing them into vectors first, which takes longer than storing each.
            to.add(i).write_volatile(at as u32 + _tzcnt_u64(left) as u32);
            left = _blsr_u64(left);
            i += 1;
        }
        left
    }
}

impl Kernel for Avx2 {
    type Seen = [__m256i; 2];
    const ENTRIES: usize = 1;

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn nothing() -> Self::Seen {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn is_within(seen: Self::Seen, most: &Proof) -> bool {
        // SAFETY: the caller has enabled the features; a proof is aligned.
        unsafe {
            let most = halves(&most.0);
            let (low, high) = (_mm256_subs_epu8(seen[0], most[0]), _mm256_subs_epu8(seen[1], most[1]));
            let both = _mm256_or_si256(low, high);
            _mm256_testz_si256(both, both) == 1
        }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn merge(seen: Self::Seen, step: Self::Seen) -> Self::Seen {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe { [_mm256_max_epu8(seen[0], step[0]), _mm256_max_epu8(seen[1], step[1])] }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn merge_low(seen: Self::Seen, step: Self::Seen) -> Self::Seen {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe { [_mm256_max_epu8(seen[0], step[0]), seen[1]] }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn matches(at: *const u8, literal: &Literal) -> bool {
        // SAFETY: the caller has enabled the features; the text is readable as far as the literal is long, and 64 more.
        unsafe {
            let bytes = literal.bytes.as_ptr();
            if literal.len <= 32 {
                return !equal32(at, bytes) << (32 - literal.len) == 0;
            }
            let is_start = equal32(at, bytes) == u32::MAX;
            if literal.len <= 64 {
                return is_start && !equal32(at.add(32), bytes.add(32)) << (64 - literal.len) == 0;
            }
            // The last 64 bytes, which overlap what was compared.
            let last = literal.len - 64;
            is_start
                && equal32(at.add(last), bytes.add(last)) == u32::MAX
                && equal32(at.add(last + 32), bytes.add(last + 32)) == u32::MAX
        }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn strings(text: Text<'_>, from: usize, out: &mut [u32]) -> usize {
        // SAFETY: the caller has enabled the features; a text is readable 64 bytes beyond its end, and `out` has room for a block's ends.
        unsafe {
            let quote = _mm256_set1_epi8(b'"' as i8);
            let (mut count, mut at, mut mask, mut turn) = (0, from, 0, Turn::FIRST);
            while at < text.len() {
                mask = turn.ends(equal64(text.at(at), quote));
                let found = mask.count_ones() as usize;
                if count + MOST > out.len() {
                    return 0;
                }
                let to = out.as_mut_ptr().add(count);
                // Surplus entries are overwritten.
                let mut left = positions::<FIRST>(to, at, mask);
                let mut done = FIRST;
                while done < found {
                    left = positions::<STEP>(to.add(done), at, left);
                    done += STEP;
                }
                count += found;
                at += 64;
            }
            count - marks_beyond(mask, at.saturating_sub(text.len()))
        }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn quote_mask(at: *const u8) -> u64 {
        // SAFETY: the caller has enabled the features; 64 bytes are readable.
        unsafe { equal64(at, _mm256_set1_epi8(b'"' as i8)) }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn fits(at: *const u8, pattern: &Pattern) -> bool {
        // SAFETY: the caller has enabled the features; the text is readable as far as the pattern's blocks go, which are aligned.
        unsafe {
            let mut differs = _mm256_setzero_si256();
            let mut offset = 0;
            while offset < pattern.blocks * 64 {
                let text = _mm256_loadu_si256(at.add(offset).cast());
                let wanted = _mm256_load_si256(pattern.bytes.as_ptr().add(offset).cast());
                let is_open = _mm256_cmpeq_epi8(wanted, _mm256_setzero_si256());
                let here = _mm256_andnot_si256(is_open, _mm256_xor_si256(text, wanted));
                differs = _mm256_or_si256(differs, here);
                offset += 32;
            }
            _mm256_testz_si256(differs, differs) == 1
        }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn numbers_of(
        at: [*const u8; 4],
        row: &Row,
        proof: &Proof,
        least: &[i64; 4],
        out: *mut [i64; 4],
    ) -> Self::Seen {
        // SAFETY: the caller has enabled the features; each number is readable for sixteen bytes, a row has four lanes, and
        // `out` has just been written.
        unsafe {
            let [low, high] = convert_four(at, halves(&row.0), proof, out);
            let (values, least) = (_mm256_loadu_si256(out.cast()), _mm256_loadu_si256(least.as_ptr().cast()));
            [_mm256_or_si256(low, _mm256_cmpgt_epi64(least, values)), high]
        }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn numbers(
        at: [*const u8; 4],
        rows: [*const u8; 4],
        proof: &Proof,
        out: *mut [i64; 4],
    ) -> Self::Seen {
        // SAFETY: the caller has enabled the features; each number and each row is readable for sixteen bytes.
        unsafe {
            let rows = [two(rows[0], rows[1]), two(rows[2], rows[3])];
            convert_four(at, rows, proof, out)
        }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn levels(
        at: [*const u8; 4],
        rows: [&LevelRow; 2],
        proof: &Proof,
        tick: Divisor,
        out: *mut [i64; 4],
    ) -> (Self::Seen, [u32; 2]) {
        // SAFETY: the caller has enabled the features; each number is readable for sixteen bytes, rows are aligned, and
        // `out` may be written and read.
        unsafe {
            let low = _mm256_load_si256(rows[0].0.as_ptr().cast());
            let high = _mm256_load_si256(rows[1].0.as_ptr().cast());
            let seen = convert_four(at, [low, high], proof, out);
            let [one, _, two, _] = *out;
            let off = u32::from(!tick.divides(one));
            (seen, [off, off + u32::from(!tick.divides(two))])
        }
    }
}

/// Both halves of 64 bytes.
///
/// # Safety
///
/// The caller has enabled AVX2; the bytes are aligned.
#[inline(always)]
unsafe fn halves(bytes: &[u8; 64]) -> [__m256i; 2] {
    let at = bytes.as_ptr();
    // SAFETY: as the caller promises.
    unsafe { [_mm256_load_si256(at.cast()), _mm256_load_si256(at.add(32).cast())] }
}

/// Converts and stores four numbers; the result is what their slots hold after the proof.
///
/// # Safety
///
/// The caller has enabled AVX2, BMI1 and BMI2; each number has sixteen readable bytes, and `out` may be written.
#[inline(always)]
unsafe fn convert_four(
    at: [*const u8; 4],
    rows: [__m256i; 2],
    proof: &Proof,
    out: *mut [i64; 4],
) -> [__m256i; 2] {
    // SAFETY: the caller has enabled the features; each number is readable for sixteen bytes, and `out` may be written.
    unsafe {
        let proof = halves(&proof.0);
        let (low, low_seen) = fours(two(at[0], at[1]), rows[0], proof[0]);
        let (high, high_seen) = fours(two(at[2], at[3]), rows[1], proof[1]);
        // All four go on in one vector: the first and the third number in its lower half.
        let packed = _mm256_packus_epi32(low, high);
        let eights = _mm256_madd_epi16(packed, _mm256_set1_epi32(0x0001_2710));
        let upper = _mm256_mul_epu32(eights, _mm256_set1_epi64x(100_000_000));
        let mixed = _mm256_add_epi64(upper, _mm256_srli_epi64::<32>(eights));
        _mm256_storeu_si256(out.cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(mixed));
        [low_seen, high_seen]
    }
}
