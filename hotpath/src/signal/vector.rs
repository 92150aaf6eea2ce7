//! Logarithm and exponential over arrays, for whatever vectors the processor has: branch-free code that the compiler
//! turns into vectors of any width, with the same bits in all of them.
//!
//! Polynomials and constants are those of FreeBSD's `e_log.c` and `e_exp.c` (Sun Microsystems, 1993); errors stay
//! below 1.5 units in the last place.

#![expect(clippy::excessive_precision, reason = "constants as published")]

use crate::wire::simd::Isa;

const LN2_HI: f64 = 6.931_471_803_691_238_164_90e-1;
const LN2_LO: f64 = 1.908_214_929_270_587_700_02e-10;
/// 2^52 and one and a half of it: adding them moves an integer into the low bits of a float.
const TWO_52: f64 = 4_503_599_627_370_496.0;
const ROUNDER: f64 = 1.5 * TWO_52;

/// Natural logarithm of a positive, normal, finite `x`.
#[inline(always)]
pub fn ln(x: f64) -> f64 {
    // x = 2^k m with m in [sqrt(1/2), sqrt(2)).
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    let bits = x.to_bits().wrapping_sub(SQRT_HALF);
    let k = f64::from_bits((bits.wrapping_add(1023 << 52) >> 52) | TWO_52.to_bits()) - (TWO_52 + 1023.0);
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    let even = z
        * (6.666666666666735130e-01
            + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    let half_square = 0.5 * f * f;
    k * LN2_HI - ((half_square - (s * (half_square + (odd + even)) + k * LN2_LO)) - f)
}

/// `e^x` of an `x` of at most 0; below -708 the result is 0.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    let bounded = x.max(-708.0);
    let rounded = bounded * std::f64::consts::LOG2_E + ROUNDER;
    let k = rounded - ROUNDER;
    let (hi, lo) = (bounded - k * LN2_HI, k * LN2_LO);
    let r = hi - lo;
    let t = r * r;
    let c = r - t
        * (1.66666666666666019037e-01
            + t * (-2.77777777770155933842e-03
                + t * (6.61375632143793436117e-05
                    + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
    let m = 1.0 - ((lo - (r * c) / (2.0 - c)) - hi);
    let scale = f64::from_bits(rounded.to_bits().wrapping_sub(ROUNDER.to_bits()).wrapping_add(1023) << 52);
    if x < -708.0 { 0.0 } else { m * scale }
}

/// Lanes in which sums are taken, whatever the width of the vectors.
pub const LANES: usize = 8;

/// Sum in a fixed order: eight running sums, then those from the first to the last.
#[inline(always)]
pub fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    lanes.iter().chain(rest).sum()
}

/// Code that is compiled once for each instruction set.
pub trait Kernel {
    /// What it computes.
    type Output;
    /// The computation; must be `#[inline(always)]`.
    fn run(self) -> Self::Output;
}

/// Runs a kernel with the vectors of `isa`, which this processor must have; see [`Isa::available`].
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls code of an instruction set that was asked for")
)]
pub fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    match isa {
        // SAFETY: an `Isa` names what the processor was found to have.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { wide::avx512(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { wide::avx2(kernel) },
        _ => kernel.run(),
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    #![expect(unsafe_code, reason = "functions of an instruction set")]

    use super::Kernel;

    /// # Safety
    ///
    /// The processor has AVX-512F, BW and VL.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub(super) unsafe fn avx512<K: Kernel>(kernel: K) -> K::Output {
        kernel.run()
    }

    /// # Safety
    ///
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
        kernel.run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ulps(found: f64, expected: f64) -> u64 {
        found.to_bits().abs_diff(expected.to_bits())
    }

    proptest! {
        #[test]
        fn near_the_library(x in 1e-300_f64..1e300, y in -700.0_f64..0.0) {
            prop_assert!(ulps(ln(x), libm::log(x)) <= 2, "{} {}", ln(x), libm::log(x));
            prop_assert!(ulps(exp(y), libm::exp(y)) <= 2, "{} {}", exp(y), libm::exp(y));
        }

        #[test]
        fn near_the_library_around_one(x in 0.5_f64..2.0) {
            let (found, expected) = (ln(x), libm::log(x));
            prop_assert!((found - expected).abs() <= 2e-16 * expected.abs().max(1e-16), "{} {}", found, expected);
        }
    }

    #[test]
    fn ends_of_the_ranges() {
        assert_eq!((ln(1.0), exp(0.0)), (0.0, 1.0));
        assert_eq!((exp(-709.0), exp(f64::NEG_INFINITY)), (0.0, 0.0));
        assert_eq!(sum(&[1.0; 19]), 19.0);
    }
}
