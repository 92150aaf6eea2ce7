//! The kernels with AVX2: quote positions by bit extraction, two vectors of two numbers.

use super::{Kernel, Literal, MOST, Pattern, Proof, Row};
use crate::wire::text::Text;
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

/// Two numbers as groups of four digits, 32 bits each; the second result is what was no digit.
///
/// # Safety
///
/// The caller has enabled AVX2, BMI1 and BMI2.
#[inline(always)]
unsafe fn fours(text: __m256i, rows: __m256i, proof: __m256i) -> (__m256i, __m256i) {
    // SAFETY: the caller has enabled the features; the constant is aligned and as long as a vector.
    unsafe {
        let digits = _mm256_sub_epi8(text, _mm256_set1_epi8(b'0' as i8));
        let proven = _mm256_xor_si256(_mm256_shuffle_epi8(digits, rows), proof);
        let bad = _mm256_subs_epu8(proven, _mm256_load_si256(MOST.0.as_ptr().cast()));
        let twos = _mm256_maddubs_epi16(proven, _mm256_set1_epi16(0x010a));
        (_mm256_madd_epi16(twos, _mm256_set1_epi32(0x0001_0064)), bad)
    }
}

/// Writes the positions of the lowest eight bits and returns the others.
///
/// # Safety
///
/// The caller has enabled AVX2, BMI1 and BMI2; the pointer has room for eight positions.
#[inline(always)]
unsafe fn eight(to: *mut u32, at: usize, mask: u64) -> u64 {
    // SAFETY: the caller has enabled the features; there is room for eight positions.
    unsafe {
        let mut left = mask;
        let mut i = 0;
        while i < 8 {
            // Volatile keeps the compiler from packing them into vectors first, which takes longer than storing each.
            to.add(i).write_volatile(at as u32 + _tzcnt_u64(left) as u32);
            left = _blsr_u64(left);
            i += 1;
        }
        left
    }
}

impl Kernel for Avx2 {
    type Bad = [__m256i; 2];

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn is_clean(bad: Self::Bad) -> bool {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe {
            let both = _mm256_or_si256(bad[0], bad[1]);
            _mm256_testz_si256(both, both) == 1
        }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn merge(bad: Self::Bad, step: Self::Bad) -> Self::Bad {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe { [_mm256_or_si256(bad[0], step[0]), _mm256_or_si256(bad[1], step[1])] }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn merge_low(bad: Self::Bad, step: Self::Bad) -> Self::Bad {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe { [_mm256_or_si256(bad[0], step[0]), bad[1]] }
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
    unsafe fn quotes(text: Text<'_>, from: usize, out: &mut [u32]) -> usize {
        // SAFETY: the caller has enabled the features; a text is readable 64 bytes beyond its end, and `out` has room for 64 more.
        unsafe {
            let quote = _mm256_set1_epi8(b'"' as i8);
            let mut count = 0;
            let mut at = from;
            while at < text.len() {
                let left = text.len() - at;
                let within = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
                let mut mask = equal64(text.at(at), quote) & within;
                let found = mask.count_ones() as usize;
                if count + 64 > out.len() {
                    return 0;
                }
                let to = out.as_mut_ptr().add(count);
                // In eights, so that the branches are easy to predict; surplus entries are overwritten.
                mask = eight(to, at, mask);
                if found > 8 {
                    mask = eight(to.add(8), at, mask);
                }
                let mut done = 16;
                while done < found {
                    mask = eight(to.add(done), at, mask);
                    done += 8;
                }
                count += found;
                at += 64;
            }
            count
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
                let fixed = _mm256_load_si256(pattern.fixed.as_ptr().add(offset).cast());
                let here = _mm256_and_si256(_mm256_xor_si256(text, wanted), fixed);
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
    ) -> Self::Bad {
        // SAFETY: the caller has enabled the features; each number is readable for sixteen bytes, a row has four lanes, and
        // `out` has just been written.
        unsafe {
            let rows = row.0.as_ptr();
            let (low, high) = (_mm256_load_si256(rows.cast()), _mm256_load_si256(rows.add(32).cast()));
            let [bad_low, bad_high] = convert_four(at, low, high, proof, out);
            let (values, least) = (_mm256_loadu_si256(out.cast()), _mm256_loadu_si256(least.as_ptr().cast()));
            [_mm256_or_si256(bad_low, _mm256_cmpgt_epi64(least, values)), bad_high]
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
    ) -> Self::Bad {
        // SAFETY: the caller has enabled the features; each number and each row is readable for sixteen bytes.
        unsafe { convert_four(at, two(rows[0], rows[1]), two(rows[2], rows[3]), proof, out) }
    }
}

/// Converts and stores four numbers; the result is what was no digit.
///
/// # Safety
///
/// The caller has enabled AVX2, BMI1 and BMI2; each number has sixteen readable bytes, and `out` may be written.
#[inline(always)]
unsafe fn convert_four(
    at: [*const u8; 4],
    rows_low: __m256i,
    rows_high: __m256i,
    proof: &Proof,
    out: *mut [i64; 4],
) -> [__m256i; 2] {
    // SAFETY: the caller has enabled the features; each number is readable for sixteen bytes, and `out` may be written.
    unsafe {
        let proofs = proof.0.as_ptr();
        let proof_low = _mm256_load_si256(proofs.cast());
        let proof_high = _mm256_load_si256(proofs.add(32).cast());
        let (low, bad_low) = fours(two(at[0], at[1]), rows_low, proof_low);
        let (high, bad_high) = fours(two(at[2], at[3]), rows_high, proof_high);
        // All four go on in one vector: the first and the third number in its lower half.
        let packed = _mm256_packus_epi32(low, high);
        let eights = _mm256_madd_epi16(packed, _mm256_set1_epi32(0x0001_2710));
        let upper = _mm256_mul_epu32(eights, _mm256_set1_epi64x(100_000_000));
        let mixed = _mm256_add_epi64(upper, _mm256_srli_epi64::<32>(eights));
        _mm256_storeu_si256(out.cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(mixed));
        [bad_low, bad_high]
    }
}
