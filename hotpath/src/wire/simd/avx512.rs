//! The kernels with AVX-512: masks instead of movemask, compressed quote positions, one vector of four numbers.

use super::{Kernel, LevelRow, Literal, Pattern, Proof, Row, marks_beyond};
use crate::{book::Divisor, wire::text::Text};
use std::arch::x86_64::*;

/// See [`super::Isa::Avx512`].
pub(crate) struct Avx512;

/// # Safety
///
/// The caller has enabled the features of [`super::Isa::Avx512`]; each pointer has sixteen readable bytes.
#[inline(always)]
unsafe fn four(at: [*const u8; 4]) -> __m512i {
    // SAFETY: the caller has enabled the features; sixteen bytes are readable at each.
    unsafe {
        let [a, b, c, d] = at;
        let (a, b) = (_mm_loadu_si128(a.cast()), _mm_loadu_si128(b.cast()));
        let (c, d) = (_mm_loadu_si128(c.cast()), _mm_loadu_si128(d.cast()));
        let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b);
        let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(c), d);
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
    }
}

/// Stores sixteen positions.
///
/// # Safety
///
/// The caller has enabled the features of [`super::Isa::Avx512`]; the pointer has room for sixteen positions.
#[inline(always)]
unsafe fn store(to: *mut u32, within: __m128i, base: __m512i) {
    // SAFETY: the caller has enabled the features; there is room for sixteen positions.
    unsafe { _mm512_storeu_si512(to.cast(), _mm512_add_epi32(_mm512_cvtepu8_epi32(within), base)) }
}

/// Compares 1 to 64 bytes.
///
/// # Safety
///
/// The caller has enabled the features of [`super::Isa::Avx512`]; `len` bytes of the text are readable, 1 to 64, and 64 of the literal.
#[inline(always)]
unsafe fn is_equal(text: *const u8, wanted: *const u8, len: usize) -> bool {
    // SAFETY: the caller has enabled the features; the mask keeps the load of the text within its length; the literal is padded to 64 bytes.
    unsafe {
        let mask = u64::MAX >> (64 - len);
        let text = _mm512_maskz_loadu_epi8(mask, text.cast());
        _mm512_mask_cmpneq_epi8_mask(mask, text, _mm512_loadu_si512(wanted.cast())) == 0
    }
}

impl Kernel for Avx512 {
    type Seen = __m512i;
    const ENTRIES: usize = 2;

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn nothing() -> Self::Seen {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe { _mm512_setzero_si512() }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn is_within(seen: Self::Seen, most: &Proof) -> bool {
        // SAFETY: the caller has enabled the features; a proof is aligned and as long as a vector.
        unsafe { _mm512_cmpgt_epu8_mask(seen, _mm512_load_si512(most.0.as_ptr().cast())) == 0 }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn merge(seen: Self::Seen, step: Self::Seen) -> Self::Seen {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe { _mm512_max_epu8(seen, step) }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn merge_low(seen: Self::Seen, step: Self::Seen) -> Self::Seen {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe { _mm512_mask_max_epu8(seen, u64::from(u32::MAX), seen, step) }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn matches(at: *const u8, literal: &Literal) -> bool {
        // SAFETY: the caller has enabled the features; the text is readable as far as the literal is long, and 64 more.
        unsafe {
            let bytes = literal.bytes.as_ptr();
            if literal.len <= 64 {
                return is_equal(at, bytes, literal.len);
            }
            is_equal(at, bytes, 64) && is_equal(at.add(64), bytes.add(64), literal.len - 64)
        }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn strings(text: Text<'_>, from: usize, out: &mut [u32]) -> usize {
        // SAFETY: the caller has enabled the features; a text is readable 64 bytes beyond its end, and `out` has room for 64 more.
        unsafe {
            let quote = _mm512_set1_epi8(b'"' as i8);
            let iota = _mm512_loadu_si512(IOTA.as_ptr().cast());
            let (mut count, mut at, mut mask) = (0, from, 0);
            while at < text.len() {
                mask = _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(text.at(at).cast()), quote);
                let packed = _mm512_maskz_compress_epi8(mask, iota);
                let base = _mm512_set1_epi32(at as i32);
                if count + 64 > out.len() {
                    return 0;
                }
                let to = out.as_mut_ptr().add(count);
                let found = mask.count_ones() as usize;
                store(to, _mm512_castsi512_si128(packed), base);
                if found > 16 {
                    store(to.add(16), _mm512_extracti32x4_epi32::<1>(packed), base);
                    store(to.add(32), _mm512_extracti32x4_epi32::<2>(packed), base);
                    store(to.add(48), _mm512_extracti32x4_epi32::<3>(packed), base);
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
        unsafe { _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(at.cast()), _mm512_set1_epi8(b'"' as i8)) }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn fits(at: *const u8, pattern: &Pattern) -> bool {
        // SAFETY: the caller has enabled the features; the text is readable as far as the pattern's blocks go, which are aligned.
        unsafe {
            let mut differs = 0;
            let mut block = 0;
            while block < pattern.blocks {
                let text = _mm512_loadu_si512(at.add(block * 64).cast());
                let wanted = _mm512_load_si512(pattern.bytes.as_ptr().add(block * 64).cast());
                differs |= _mm512_mask_cmpneq_epi8_mask(pattern.masks[block], text, wanted);
                block += 1;
            }
            differs == 0
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
        // `out` may be written.
        unsafe {
            let row = _mm512_load_si512(row.0.as_ptr().cast());
            let (values, seen) = convert(four(at), row, proof);
            _mm256_storeu_si256(out.cast(), values);
            let least = _mm256_loadu_si256(least.as_ptr().cast());
            _mm512_mask_set1_epi64(seen, _mm256_cmplt_epi64_mask(values, least), -1)
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
        // SAFETY: the caller has enabled the features; each number and each row is readable for sixteen bytes, and `out`
        // may be written.
        unsafe {
            let (values, seen) = convert(four(at), four(rows), proof);
            _mm256_storeu_si256(out.cast(), values);
            seen
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
        // `out` may be written.
        unsafe {
            let low = _mm256_load_si256(rows[0].0.as_ptr().cast());
            let high = _mm256_load_si256(rows[1].0.as_ptr().cast());
            let rows = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
            let (values, seen) = convert(four(at), rows, proof);
            _mm256_storeu_si256(out.cast(), values);
            // Quantities are divided, too, to no avail: all four take one instruction.
            let [inverse, shift, most] = tick.words();
            let products = _mm256_mullo_epi64(values, _mm256_set1_epi64x(inverse as i64));
            let rotated = _mm256_rorv_epi64(products, _mm256_set1_epi64x(shift as i64));
            let most = _mm256_set1_epi64x(most as i64);
            let off = u32::from(_mm256_mask_cmpgt_epu64_mask(0b0101, rotated, most));
            (seen, [off & 1, off.count_ones()])
        }
    }
}

/// Converts four numbers; the second result is what their slots hold after the proof.
///
/// # Safety
///
/// The caller has enabled the features of [`super::Isa::Avx512`].
#[inline(always)]
unsafe fn convert(text: __m512i, rows: __m512i, proof: &Proof) -> (__m256i, __m512i) {
    // SAFETY: the caller has enabled the features; constants are aligned and as long as a vector.
    unsafe {
        let digits = _mm512_sub_epi8(text, _mm512_set1_epi8(b'0' as i8));
        let aligned = _mm512_shuffle_epi8(digits, rows);
        let proven = _mm512_xor_si512(aligned, _mm512_load_si512(proof.0.as_ptr().cast()));
        let twos = _mm512_maddubs_epi16(proven, _mm512_set1_epi16(0x010a));
        let fours = _mm512_madd_epi16(twos, _mm512_set1_epi32(0x0001_0064));
        // Below 10,000 each: half as wide from here on, in the order of the numbers.
        let eights = _mm256_madd_epi16(_mm512_cvtepi32_epi16(fours), _mm256_set1_epi32(0x0001_2710));
        let high = _mm256_mul_epu32(eights, _mm256_set1_epi64x(100_000_000));
        let whole = _mm256_add_epi64(high, _mm256_srli_epi64::<32>(eights));
        (whole, proven)
    }
}

static IOTA: [u8; 64] = {
    let mut bytes = [0; 64];
    let mut i = 0;
    while i < 64 {
        bytes[i] = i as u8;
        i += 1;
    }
    bytes
};
