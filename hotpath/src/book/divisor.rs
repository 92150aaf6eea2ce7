//! Division by a constant without a division (Hacker's Delight, 10-17).

/// A positive divisor.
#[derive(Clone, Copy, Debug)]
pub struct Divisor {
    inverse: u64,
    shift: u32,
    quotient_max: u64,
}

impl Divisor {
    /// By one.
    pub const ONE: Self = Self { inverse: 1, shift: 0, quotient_max: u64::MAX };

    /// By `divisor`; one below 1 counts as 1.
    pub fn new(divisor: i64) -> Self {
        let divisor = divisor.max(1) as u64;
        let shift = divisor.trailing_zeros();
        let odd = divisor >> shift;
        // Newton's iteration doubles the correct bits; five steps are enough from three.
        let inverse = (0..5).fold(odd, |x, _| x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x))));
        Self { inverse, shift, quotient_max: u64::MAX / divisor }
    }

    /// Inverse, shift and largest quotient, for kernels that do what [`Self::divides`] does to several values at once.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn words(self) -> [u64; 3] {
        [self.inverse, self.shift as u64, self.quotient_max]
    }

    /// How often it goes into a non-negative value, or something above [`Self::quotient_max`] when it does
    /// not go without a rest.
    #[inline(always)]
    pub fn rotated(self, value: i64) -> u64 {
        (value as u64).wrapping_mul(self.inverse).rotate_right(self.shift)
    }

    /// [`Self::rotated`] is below this exactly for multiples of which the quotient is below `bound`.
    pub fn rotations_bound(self, bound: u64) -> u64 {
        bound.min(self.quotient_max.saturating_add(1))
    }

    /// True when a non-negative value is a multiple.
    #[inline(always)]
    pub fn divides(self, value: i64) -> bool {
        self.rotated(value) <= self.quotient_max
    }

    /// The exact quotient of a non-negative value; `None` with a rest.
    #[inline(always)]
    pub fn quotient(self, value: i64) -> Option<u64> {
        let quotient = self.rotated(value);
        (quotient <= self.quotient_max).then_some(quotient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn division_is_exact(divisor in 1_i64..2_000_000, factor in 0_i64..1_000_000_000, more in 0_i64..2_000_000) {
            let value = divisor * factor + more;
            let expected = (value % divisor == 0).then_some((value / divisor) as u64);
            prop_assert_eq!(Divisor::new(divisor).quotient(value), expected);
            prop_assert_eq!(Divisor::new(divisor).quotient(divisor * factor), Some(factor as u64));
        }
    }
}
