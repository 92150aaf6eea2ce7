//! The kernels with AVX-512: masks instead of movemask, compressed quote positions, one vector of four numbers.

use super::{Kernel, Literal, MOST, Pattern, Proof, Row};
use crate::wire::text::Text;
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
    type Bad = __m512i;

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn is_clean(bad: Self::Bad) -> bool {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe { _mm512_test_epi64_mask(bad, bad) == 0 }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn merge(bad: Self::Bad, step: Self::Bad) -> Self::Bad {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe { _mm512_or_si512(bad, step) }
    }

    /// # Safety
    ///
    /// As [`Kernel`] asks for of this function.
    #[inline(always)]
    unsafe fn merge_low(bad: Self::Bad, step: Self::Bad) -> Self::Bad {
        // SAFETY: the caller has enabled the features, and registers are all it touches.
        unsafe { _mm512_mask_or_epi64(bad, 0b1111, bad, step) }
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
    unsafe fn quotes(text: Text<'_>, from: usize, out: &mut [u32]) -> usize {
        // SAFETY: the caller has enabled the features; a text is readable 64 bytes beyond its end, and `out` has room for 64 more.
        unsafe {
            let quote = _mm512_set1_epi8(b'"' as i8);
            let iota = _mm512_loadu_si512(IOTA.as_ptr().cast());
            let mut count = 0;
            let mut at = from;
            while at < text.len() {
                let block = _mm512_loadu_si512(text.at(at).cast());
                let left = text.len() - at;
                let within = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
                let mask = _mm512_cmpeq_epi8_mask(block, quote) & within;
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
            count
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
    ) -> Self::Bad {
        // SAFETY: the caller has enabled the features; each number is readable for sixteen bytes, a row has four lanes, and
        // `out` has just been written.
        unsafe {
            let bad = convert(four(at), _mm512_load_si512(row.0.as_ptr().cast()), proof, out);
            let (values, least) = (_mm256_loadu_si256(out.cast()), _mm256_loadu_si256(least.as_ptr().cast()));
            _mm512_mask_set1_epi64(bad, _mm256_cmplt_epi64_mask(values, least), -1)
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
        unsafe { convert(four(at), four(rows), proof, out) }
    }
}

/// Converts and stores four numbers; the result is what was no digit.
///
/// # Safety
///
/// The caller has enabled the features of [`super::Isa::Avx512`]; `out` may be written.
#[inline(always)]
unsafe fn convert(text: __m512i, rows: __m512i, proof: &Proof, out: *mut [i64; 4]) -> __m512i {
    // SAFETY: the caller has enabled the features; `out` may be written, constants are aligned and as long as a vector.
    unsafe {
        let digits = _mm512_sub_epi8(text, _mm512_set1_epi8(b'0' as i8));
        let aligned = _mm512_shuffle_epi8(digits, rows);
        let proven = _mm512_xor_si512(aligned, _mm512_load_si512(proof.0.as_ptr().cast()));
        let twos = _mm512_maddubs_epi16(proven, _mm512_set1_epi16(0x010a));
        let fours = _mm512_madd_epi16(twos, _mm512_set1_epi32(0x0001_0064));
        let packed = _mm512_packus_epi32(fours, fours);
        let eights = _mm512_madd_epi16(packed, _mm512_set1_epi32(0x0001_2710));
        let high = _mm512_mul_epu32(eights, _mm512_set1_epi64(100_000_000));
        let whole = _mm512_add_epi64(high, _mm512_srli_epi64::<32>(eights));
        _mm256_storeu_si256(
            out.cast(),
            _mm512_castsi512_si256(_mm512_maskz_compress_epi64(0b0101_0101, whole)),
        );
        _mm512_subs_epu8(proven, _mm512_load_si512(MOST.0.as_ptr().cast()))
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
