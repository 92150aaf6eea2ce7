//! Sixteen bytes of a level at once: with SSE2, which every x86-64 processor has, or with words elsewhere. What stands
//! where in a level [`super::shapes`] knows; the kernels of better processors are [`crate::wire::simd`].

#![expect(unsafe_code, reason = "positions within a padded text are read without a check of each byte")]

/// Bytes of a number's word, and digits that one takes.
pub(super) const WORD: usize = 8;
/// Bytes of a block.
pub(super) const BLOCK: usize = 16;

/// Adjacent bytes of a text, or what is known about each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(16))]
pub(super) struct Block(pub(super) [u8; BLOCK]);

/// A value for a price and one for a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(16))]
pub(super) struct Pair(pub(super) [u64; 2]);

/// How two numbers stand in two words each, the second of which begins one byte later: behind the point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digits {
    /// Bits of the digits before the points in the first words.
    pub(super) whole: Pair,
    /// Bits of the digits behind the points in the second words.
    pub(super) decimals: Pair,
}

#[cfg(target_arch = "x86_64")]
pub(super) use sse2::{are_within, numbers};
#[cfg(not(target_arch = "x86_64"))]
pub(super) use words::{are_within, numbers};

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use super::{Block, Digits, Pair, WORD};
    use core::arch::x86_64::*;

    /// True when no byte of two blocks differs from what is expected there, bit by bit, by more than there is room.
    ///
    /// # Safety
    ///
    /// Both blocks are readable.
    #[inline(always)]
    pub(in super::super) unsafe fn are_within(
        blocks: [*const u8; 2],
        expected: &[Block; 2],
        room: &[Block; 2],
    ) -> bool {
        // SAFETY: the blocks are readable, those of a form aligned as their type is; every x86-64 processor has SSE2.
        unsafe {
            let over = |i: usize| {
                let found = _mm_loadu_si128(blocks[i].cast());
                let expected = _mm_load_si128((&raw const expected[i]).cast());
                _mm_subs_epu8(_mm_xor_si128(found, expected), _mm_load_si128((&raw const room[i]).cast()))
            };
            let worst = _mm_or_si128(over(0), over(1));
            _mm_movemask_epi8(_mm_cmpeq_epi8(worst, _mm_setzero_si128())) == 0xffff
        }
    }

    /// The numbers whose first words begin at two positions, each times its factor of less than 32 bits.
    ///
    /// # Safety
    ///
    /// Nine bytes are readable from both positions on.
    #[inline(always)]
    pub(in super::super) unsafe fn numbers(at: [*const u8; 2], digits: &Digits, factors: &Pair) -> [u64; 2] {
        debug_assert!(factors.0.iter().all(|factor| factor >> 32 == 0), "{factors:?}");
        // SAFETY: the words are readable, wherever they begin; every x86-64 processor has SSE2.
        unsafe {
            let words = |later: usize, mask: &Pair| {
                let [price, qty] = at.map(|at| _mm_loadl_epi64(at.add(later).cast()));
                _mm_and_si128(_mm_unpacklo_epi64(price, qty), load(mask))
            };
            let digits = _mm_or_si128(words(0, &digits.whole), words(1, &digits.decimals));
            // The upper byte of a lane has what is too much.
            let pairs =
                _mm_add_epi16(_mm_mullo_epi16(digits, _mm_set1_epi16(10)), _mm_srli_epi16::<8>(digits));
            let pairs = _mm_and_si128(pairs, _mm_set1_epi16(0xff));
            let fours = _mm_madd_epi16(pairs, _mm_set1_epi32(1 << 16 | 100));
            let eights = _mm_madd_epi16(_mm_packs_epi32(fours, fours), _mm_set1_epi32(1 << 16 | 10_000));
            let values = _mm_mul_epu32(_mm_unpacklo_epi32(eights, eights), load(factors));
            let low = _mm_cvtsi128_si64(values) as u64;
            [low, _mm_cvtsi128_si64(_mm_unpackhi_epi64(values, values)) as u64]
        }
    }

    #[inline(always)]
    fn load(pair: &Pair) -> __m128i {
        // SAFETY: as many bytes, with the alignment that the type has.
        unsafe { _mm_load_si128((&raw const *pair).cast()) }
    }

    const _: () = assert!(size_of::<Pair>() == 2 * WORD);
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::{BLOCK, Block, Digits, Pair};

    /// As with SSE2.
    ///
    /// # Safety
    ///
    /// As with SSE2.
    #[inline(always)]
    pub(in super::super) unsafe fn are_within(
        blocks: [*const u8; 2],
        expected: &[Block; 2],
        room: &[Block; 2],
    ) -> bool {
        let over = |i: usize| {
            // SAFETY: the block is readable.
            let found = unsafe { blocks[i].cast::<[u8; BLOCK]>().read_unaligned() };
            let over = |at: usize| (found[at] ^ expected[i].0[at]).saturating_sub(room[i].0[at]);
            (0..BLOCK).fold(0, |all, at| all | over(at))
        };
        over(0) | over(1) == 0
    }

    /// As with SSE2.
    ///
    /// # Safety
    ///
    /// As with SSE2.
    #[inline(always)]
    pub(in super::super) unsafe fn numbers(at: [*const u8; 2], digits: &Digits, factors: &Pair) -> [u64; 2] {
        [0, 1].map(|i| {
            // SAFETY: both words are readable.
            let [first, second] =
                [0, 1].map(|later| unsafe { at[i].add(later).cast::<u64>().read_unaligned().to_le() });
            let digits = first & digits.whole.0[i] | second & digits.decimals.0[i];
            super::value_of(digits) * factors.0[i]
        })
    }
}

/// Value of eight digits, the first the lowest byte: pairs, then fours, then all, every lane of a word at once.
#[inline(always)]
pub(super) const fn value_of(digits: u64) -> u64 {
    const LANES: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & LANES).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & LANES).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways_see_the_same_bytes(
            text in any::<[u8; 3 * BLOCK]>(),
            from in [0..=BLOCK, 0..=BLOCK],
            differences in any::<[[u8; BLOCK]; 2]>(),
            room in any::<[[u8; BLOCK]; 2]>(),
            is_close in any::<bool>(),
        ) {
            let blocks = from.map(|from| text[from..].as_ptr());
            let each = |of: &dyn Fn(usize, usize) -> u8| [0, 1].map(|i| Block(std::array::from_fn(|at| of(i, at))));
            let difference = |i: usize, at: usize| {
                let most = if is_close { room[i][at] } else { u8::MAX };
                differences[i][at].min(most)
            };
            let expected = each(&|i, at| text[from[i] + at] ^ difference(i, at));
            let room = each(&|i, at| room[i][at]);
            // SAFETY: the text has three blocks, and both begin in the first or behind it.
            let [vector, word] = unsafe {
                [are_within(blocks, &expected, &room), words::are_within(blocks, &expected, &room)]
            };
            prop_assert_eq!(vector, word);
            prop_assert!(vector || !is_close);
        }

        #[test]
        fn both_ways_read_the_same_numbers(
            digits in any::<[[u8; WORD + 1]; 2]>(),
            whole in [0_u32..=8, 0_u32..=8],
            decimals in [0_u32..=8, 0_u32..=8],
            factors in any::<[u32; 2]>(),
        ) {
            let text = digits.map(|digits| digits.map(|digit| b'0' + digit % 10));
            let decimals = [0, 1].map(|i| decimals[i].min(8 - whole[i]));
            let nibbles = 0x0f0f_0f0f_0f0f_0f0f_u64;
            let upper = |bytes: u32| if bytes == 0 { 0 } else { nibbles << (8 * (8 - bytes)) };
            let masks = Digits {
                whole: Pair([0, 1].map(|i| upper(whole[i]).checked_shr(8 * decimals[i]).unwrap_or(0))),
                decimals: Pair(decimals.map(upper)),
            };
            let factors = Pair(factors.map(u64::from));
            let at = [text[0].as_ptr(), text[1].as_ptr()];
            // SAFETY: both texts have nine bytes.
            let [vector, word] =
                unsafe { [numbers(at, &masks, &factors), words::numbers(at, &masks, &factors)] };
            let expected = [0, 1].map(|i| {
                let (whole, decimals) = (whole[i] as usize, decimals[i] as usize);
                let behind = WORD - decimals;
                let kept = text[i][behind - whole..behind].iter().chain(&text[i][behind + 1..]);
                kept.fold(0, |value, byte| value * 10 + u64::from(byte - b'0')) * factors.0[i]
            });
            prop_assert_eq!([vector, word], [expected; 2]);
        }
    }
}
