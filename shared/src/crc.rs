//! CRC-32C of short records: folded sixty-four bytes a step by carry-less multiplication where the processor has
//! it, by the library otherwise. Method: Gopal and others, "Fast CRC Computation for Generic Polynomials Using
//! PCLMULQDQ Instruction", 2009.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "vector instructions"))]

/// Continues the checksum `crc` of what came before with `bytes`; 0 starts one.
pub fn append(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if Method::choose() == Method::Folded {
        // SAFETY: the processor has the instructions, as the method says.
        return unsafe { folded::append(crc, bytes) };
    }
    crc32c::crc32c_append(crc, bytes)
}

/// The checksum of a header's words as they lie in memory, and of the payload after them.
#[inline(always)]
pub fn of_record(method: Method, words: &[u64; WORDS], payload: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if method == Method::Folded {
        // SAFETY: the processor has the instructions, as the method says.
        return unsafe { folded::of_record(words, payload) };
    }
    let _ = method;
    let first = words.iter().fold(0, |crc, word| crc32c::crc32c_append(crc, &word.to_ne_bytes()));
    crc32c::crc32c_append(first, payload)
}

/// How checksums are computed here; writers choose once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By carry-less multiplication.
    Folded,
    /// By the library.
    Library,
}

impl Method {
    /// What this processor does best.
    #[inline]
    pub fn choose() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("sse4.2") {
            return Self::Folded;
        }
        Self::Library
    }
}

/// Words of a record's header.
const WORDS: usize = crate::record::HEADER_BYTES / 8;

#[cfg(target_arch = "x86_64")]
mod folded {
    use core::arch::x86_64::{
        __m128i, _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u16, _mm_crc32_u32, _mm_crc32_u64,
        _mm_cvtsi32_si128, _mm_cvtsi128_si64, _mm_extract_epi64, _mm_loadu_si128, _mm_setr_epi32,
        _mm_xor_si128,
    };

    const STEP: usize = 64;

    #[target_feature(enable = "pclmulqdq,sse4.2")]
    pub(super) fn append(crc: u32, bytes: &[u8]) -> u32 {
        let (steps, rest) = bytes.as_chunks::<STEP>();
        let mut state = u64::from(!crc);
        if let Some((first, others)) = steps.split_first() {
            state = fold(state as u32, first, others);
        }
        let (words, tail) = rest.as_chunks::<8>();
        for word in words {
            state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
        }
        let mut state = state as u32;
        let (halves, tail) = tail.as_chunks::<4>();
        for half in halves {
            state = _mm_crc32_u32(state, u32::from_le_bytes(*half));
        }
        let (pairs, tail) = tail.as_chunks::<2>();
        for pair in pairs {
            state = _mm_crc32_u16(state, u16::from_le_bytes(*pair));
        }
        !tail.iter().fold(state, |state, &byte| _mm_crc32_u8(state, byte))
    }

    #[target_feature(enable = "pclmulqdq,sse4.2")]
    pub(super) fn of_record(words: &[u64; super::WORDS], payload: &[u8]) -> u32 {
        let state = words.iter().fold(u64::from(!0_u32), |state, &word| _mm_crc32_u64(state, word));
        append(!(state as u32), payload)
    }

    #[target_feature(enable = "pclmulqdq,sse4.2")]
    fn load(step: &[u8; STEP]) -> [__m128i; 4] {
        // SAFETY: each load reads sixteen of the step's sixty-four bytes.
        [0, 16, 32, 48].map(|at| unsafe { _mm_loadu_si128(step.as_ptr().add(at).cast()) })
    }

    /// `lane` times x to the power that `by` stands for, plus `next`.
    #[target_feature(enable = "pclmulqdq,sse4.2")]
    fn shift(lane: __m128i, by: __m128i, next: __m128i) -> __m128i {
        let low = _mm_clmulepi64_si128(lane, by, 0x00);
        let high = _mm_clmulepi64_si128(lane, by, 0x11);
        _mm_xor_si128(_mm_xor_si128(low, next), high)
    }

    #[target_feature(enable = "pclmulqdq,sse4.2")]
    fn fold(state: u32, first: &[u8; STEP], others: &[[u8; STEP]]) -> u64 {
        let power = |low: u32, high: u32| _mm_setr_epi32(low as i32, 0, high as i32, 0);
        let mut lanes = load(first);
        lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128(state as i32));
        let by_512 = power(0x740e_ef02, 0x9e4a_ddf8);
        for step in others {
            let next = load(step);
            for (lane, next) in lanes.iter_mut().zip(next) {
                *lane = shift(*lane, by_512, next);
            }
        }
        let by_128 = power(0xf20c_0dfe, 0x493c_7d27);
        let by_256 = power(0x3da6_d0cb, 0xba4f_c28e);
        let (front, back) = (shift(lanes[0], by_128, lanes[1]), shift(lanes[2], by_128, lanes[3]));
        let whole = shift(front, by_256, back);
        let half = _mm_crc32_u64(0, _mm_cvtsi128_si64(whole) as u64);
        _mm_crc32_u64(half, _mm_extract_epi64(whole, 1) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_check_value_of_the_polynomial() {
        assert_eq!(append(0, b"123456789"), 0xe306_9283);
        assert_eq!(append(0, &[]), 0);
    }

    #[test]
    fn every_length_agrees_with_the_library() {
        let bytes: Vec<u8> = (0..1_100_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for len in 0..bytes.len() {
            assert_eq!(
                append(0x1234_5678, &bytes[..len]),
                crc32c::crc32c_append(0x1234_5678, &bytes[..len]),
                "{len}"
            );
        }
    }

    proptest! {
        #[test]
        fn words_and_bytes_are_one_text(words: [u64; WORDS], bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut text: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            text.extend(&bytes);
            for method in [Method::choose(), Method::Library] {
                prop_assert_eq!(of_record(method, &words, &bytes), crc32c::crc32c(&text));
            }
        }

        #[test]
        fn any_bytes_agree_with_the_library(crc: u32, bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            prop_assert_eq!(append(crc, &bytes), crc32c::crc32c_append(crc, &bytes));
        }
    }
}
