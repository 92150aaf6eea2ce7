//! CRC-32C of short records: folded sixty-four bytes a step by carry-less multiplication where the processor has
//! it, by the library otherwise. Method: Gopal and others, "Fast CRC Computation for Generic Polynomials Using
//! PCLMULQDQ Instruction", 2009.

#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "vector instructions"))]

/// Continues the checksum `crc` of what came before with `bytes`; 0 starts one.
pub fn append(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if Method::choose() != Method::Library {
        // SAFETY: the processor has the instructions, as the method says.
        return unsafe { folded::append(crc, bytes) };
    }
    crc32c::crc32c_append(crc, bytes)
}

/// The checksum of a header's words as they lie in memory, and of the payload after them.
#[inline(always)]
pub fn of_record(method: Method, words: &[u64; WORDS], payload: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if payload.is_empty() && method != Method::Library {
        let [a, b, c, d, e] = *words;
        // SAFETY: the processor has the instructions, as the method says.
        return unsafe { folded::of_header(a, b, c, d, e) };
    }
    match method {
        // SAFETY: the processor has the instructions, as the method says.
        #[cfg(target_arch = "x86_64")]
        Method::Wide => unsafe { folded::of_record_wide(words, payload) },
        // SAFETY: the same.
        #[cfg(target_arch = "x86_64")]
        Method::Folded => unsafe { folded::of_record(words, payload) },
        _ => of_record_by_library(words, payload),
    }
}

#[cfg_attr(target_arch = "x86_64", cold)]
fn of_record_by_library(words: &[u64; WORDS], payload: &[u8]) -> u32 {
    let first = words.iter().fold(0, |crc, word| crc32c::crc32c_append(crc, &word.to_ne_bytes()));
    crc32c::crc32c_append(first, payload)
}

/// How checksums are computed here; writers choose once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By carry-less multiplication of four lanes at once.
    Wide,
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
            let is_wide = is_x86_feature_detected!("vpclmulqdq") && is_x86_feature_detected!("avx512f");
            return if is_wide { Self::Wide } else { Self::Folded };
        }
        Self::Library
    }
}

/// Words of a record's header.
const WORDS: usize = crate::record::HEADER_BYTES / 8;

#[cfg(target_arch = "x86_64")]
mod folded {
    use core::arch::x86_64::*;

    const STEP: usize = 64;

    #[target_feature(enable = "pclmulqdq,sse4.2")]
    pub(super) fn append(crc: u32, bytes: &[u8]) -> u32 {
        let (steps, rest) = bytes.as_chunks::<STEP>();
        let state = match steps.split_first() {
            Some((first, others)) => fold(!crc, first, others),
            None => !crc,
        };
        tail(state, rest)
    }

    /// A record without payload, as each stage writes for every event that it takes: the words stay in registers.
    #[target_feature(enable = "sse4.2")]
    pub(super) fn of_header(a: u64, b: u64, c: u64, d: u64, e: u64) -> u32 {
        let state =
            [a, b, c, d, e].into_iter().fold(u64::from(!0_u32), |state, word| _mm_crc32_u64(state, word));
        !(state as u32)
    }

    #[target_feature(enable = "pclmulqdq,sse4.2")]
    pub(super) fn of_record(words: &[u64; super::WORDS], payload: &[u8]) -> u32 {
        append(!header(words), payload)
    }

    #[target_feature(enable = "pclmulqdq,sse4.2,avx512f,vpclmulqdq")]
    pub(super) fn of_record_wide(words: &[u64; super::WORDS], payload: &[u8]) -> u32 {
        let (steps, rest) = payload.as_chunks::<STEP>();
        let state = match steps.split_first() {
            Some((first, others)) => fold_wide(header(words), first, others),
            None => header(words),
        };
        tail(state, rest)
    }

    #[inline]
    #[target_feature(enable = "pclmulqdq,sse4.2")]
    fn header(words: &[u64; super::WORDS]) -> u32 {
        words.iter().fold(u64::from(!0_u32), |state, &word| _mm_crc32_u64(state, word)) as u32
    }

    /// What is left after the steps; ends the checksum.
    #[inline]
    #[target_feature(enable = "pclmulqdq,sse4.2")]
    fn tail(state: u32, rest: &[u8]) -> u32 {
        let (words, rest) = rest.as_chunks::<8>();
        let mut wide = u64::from(state);
        for word in words {
            wide = _mm_crc32_u64(wide, u64::from_le_bytes(*word));
        }
        let mut state = wide as u32;
        let (halves, rest) = rest.as_chunks::<4>();
        for half in halves {
            state = _mm_crc32_u32(state, u32::from_le_bytes(*half));
        }
        let (pairs, rest) = rest.as_chunks::<2>();
        for pair in pairs {
            state = _mm_crc32_u16(state, u16::from_le_bytes(*pair));
        }
        !rest.iter().fold(state, |state, &byte| _mm_crc32_u8(state, byte))
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

    /// Powers of x for a shift by 512 bits, for low and high halves.
    const BY_512: [i32; 4] = [0x740e_ef02, 0, 0x9e4a_ddf8_u32 as i32, 0];

    #[target_feature(enable = "pclmulqdq,sse4.2")]
    fn power(of: [i32; 4]) -> __m128i {
        _mm_setr_epi32(of[0], of[1], of[2], of[3])
    }

    #[target_feature(enable = "pclmulqdq,sse4.2")]
    fn fold(state: u32, first: &[u8; STEP], others: &[[u8; STEP]]) -> u32 {
        let mut lanes = load(first);
        lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128(state as i32));
        let by_512 = power(BY_512);
        for step in others {
            let next = load(step);
            for (lane, next) in lanes.iter_mut().zip(next) {
                *lane = shift(*lane, by_512, next);
            }
        }
        reduce(lanes)
    }

    #[target_feature(enable = "pclmulqdq,sse4.2,avx512f,vpclmulqdq")]
    fn fold_wide(state: u32, first: &[u8; STEP], others: &[[u8; STEP]]) -> u32 {
        let by_512 = _mm512_broadcast_i32x4(power(BY_512));
        // SAFETY: a step has the sixty-four bytes of a vector.
        let load = |step: &[u8; STEP]| unsafe { _mm512_loadu_si512(step.as_ptr().cast()) };
        let start = _mm512_zextsi128_si512(_mm_cvtsi32_si128(state as i32));
        let mut lanes = _mm512_xor_si512(load(first), start);
        for step in others {
            let low = _mm512_clmulepi64_epi128::<0x00>(lanes, by_512);
            let high = _mm512_clmulepi64_epi128::<0x11>(lanes, by_512);
            // The sum of all three.
            lanes = _mm512_ternarylogic_epi64::<0x96>(low, high, load(step));
        }
        reduce([
            _mm512_extracti32x4_epi32::<0>(lanes),
            _mm512_extracti32x4_epi32::<1>(lanes),
            _mm512_extracti32x4_epi32::<2>(lanes),
            _mm512_extracti32x4_epi32::<3>(lanes),
        ])
    }

    /// Brings four lanes together and down to the checksum's width.
    #[inline]
    #[target_feature(enable = "pclmulqdq,sse4.2")]
    fn reduce(lanes: [__m128i; 4]) -> u32 {
        let by_128 = power([0xf20c_0dfe_u32 as i32, 0, 0x493c_7d27, 0]);
        let by_256 = power([0x3da6_d0cb, 0, 0xba4f_c28e_u32 as i32, 0]);
        let (front, back) = (shift(lanes[0], by_128, lanes[1]), shift(lanes[2], by_128, lanes[3]));
        let whole = shift(front, by_256, back);
        let half = _mm_crc32_u64(0, _mm_cvtsi128_si64(whole) as u64);
        _mm_crc32_u64(half, _mm_extract_epi64(whole, 1) as u64) as u32
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
            assert_eq!(of_record(Method::choose(), &[7; WORDS], &bytes[..len]), {
                let header: Vec<u8> = [7_u64; WORDS].iter().flat_map(|word| word.to_ne_bytes()).collect();
                crc32c::crc32c_append(crc32c::crc32c(&header), &bytes[..len])
            });
        }
    }

    proptest! {
        #[test]
        fn words_and_bytes_are_one_text(words: [u64; WORDS], bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut text: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            text.extend(&bytes);
            let folded = if Method::choose() == Method::Library { Method::Library } else { Method::Folded };
            for method in [Method::choose(), folded, Method::Library] {
                prop_assert_eq!(of_record(method, &words, &bytes), crc32c::crc32c(&text));
            }
        }

        #[test]
        fn any_bytes_agree_with_the_library(crc: u32, bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            prop_assert_eq!(append(crc, &bytes), crc32c::crc32c_append(crc, &bytes));
        }
    }
}
