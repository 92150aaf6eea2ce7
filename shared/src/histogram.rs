//! Log-linear latency histograms in shared memory: HdrHistogram's bucket scheme with 128 buckets to a
//! power of two (values within 0.8 %), one writer each, no allocation, rebuilt elsewhere for export.

use crate::{Nanos, memory::MappedFile};
use std::sync::atomic::{AtomicU64, Ordering};

const SUB_BITS: u32 = 7;
const VALUE_BITS: u32 = 36;

/// Largest value kept apart, about 68 s; larger ones land in the last bucket and in `max`.
pub const VALUE_MAX: u64 = (1 << VALUE_BITS) - 1;

/// Buckets of a histogram.
pub const BUCKETS: usize = ((VALUE_BITS - SUB_BITS + 1) as usize) << SUB_BITS;

/// Words before the buckets: reserved, sum, maximum, reserved.
const HEAD_WORDS: usize = 8;

/// Bytes of a histogram in a file.
pub const BYTES: usize = (HEAD_WORDS + BUCKETS) * 8;

/// Bucket of a value.
#[inline]
pub const fn bucket_of(value: u64) -> usize {
    let value = if value > VALUE_MAX { VALUE_MAX } else { value };
    let magnitude = 63 - (value | ((2 << SUB_BITS) - 1)).leading_zeros();
    let shift = magnitude - SUB_BITS;
    ((shift as usize) << SUB_BITS) + (value >> shift) as usize
}

/// Largest value that lands in a bucket.
pub const fn bucket_max(bucket: usize) -> u64 {
    let doubled = 2 << SUB_BITS;
    if bucket < doubled {
        return bucket as u64;
    }
    let shift = (bucket >> SUB_BITS) - 1;
    let low = (bucket - (shift << SUB_BITS)) as u64;
    ((low + 1) << shift) - 1
}

/// The writing end: a view of one histogram in a mapped file.
pub struct Histogram<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Histogram<'a> {
    /// The histogram whose bytes start at `offset`.
    pub fn at(file: &'a MappedFile, offset: usize) -> Self {
        Self { words: file.u64s_at(offset, HEAD_WORDS + BUCKETS) }
    }

    /// Adds one value in nanoseconds. One thread writes a histogram, so plain loads and stores do.
    #[inline]
    pub fn record(&self, value_ns: Nanos) {
        let add = |word: &AtomicU64, by: u64| {
            word.store(word.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        };
        add(&self.words[HEAD_WORDS + bucket_of(value_ns)], 1);
        add(&self.words[1], value_ns);
        if value_ns > self.words[2].load(Ordering::Relaxed) {
            self.words[2].store(value_ns, Ordering::Relaxed);
        }
    }
}

/// A copy of a histogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramCopy {
    /// Sum of all values in nanoseconds.
    pub sum_ns: u64,
    /// Largest value in nanoseconds, exact.
    pub max_ns: u64,
    /// Values a bucket.
    pub buckets: Vec<u64>,
}

impl Default for HistogramCopy {
    fn default() -> Self {
        Self { sum_ns: 0, max_ns: 0, buckets: vec![0; BUCKETS] }
    }
}

impl HistogramCopy {
    /// Copies the histogram whose words `load` returns by index.
    pub(crate) fn read(load: impl Fn(usize) -> u64) -> Self {
        let buckets = (0..BUCKETS).map(|i| load(HEAD_WORDS + i)).collect();
        Self { sum_ns: load(1), max_ns: load(2), buckets }
    }

    /// Number of values, counted from the buckets so that it always matches them.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Value at or below which `quantile` (0..=1) of all values lie, in nanoseconds; 0 when empty.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let count = self.count();
        let wanted = ((count as f64 * quantile).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (bucket, &n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= wanted {
                return bucket_max(bucket).min(self.max_ns);
            }
        }
        0
    }

    /// Number of values at or below `bound_ns`, to the width of a bucket.
    pub fn count_up_to(&self, bound_ns: u64) -> u64 {
        self.buckets.iter().enumerate().take_while(|(b, _)| bucket_max(*b) <= bound_ns).map(|(_, n)| n).sum()
    }

    /// What was recorded after `before`, a copy of the same histogram. Its maximum is that of its highest bucket.
    pub fn since(&self, before: &Self) -> Self {
        let mut buckets = self.buckets.clone();
        for (mine, theirs) in buckets.iter_mut().zip(&before.buckets) {
            *mine = mine.saturating_sub(*theirs);
        }
        let highest = buckets.iter().rposition(|&count| count > 0);
        let max_ns = highest.map_or(0, |bucket| bucket_max(bucket).min(self.max_ns));
        Self { sum_ns: self.sum_ns.saturating_sub(before.sum_ns), max_ns, buckets }
    }

    /// Adds another histogram's values, as of an earlier process.
    pub fn merge(&mut self, other: &Self) {
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_are_contiguous_and_end_at_the_maximum() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(bucket_max(bucket)), bucket);
            if bucket > 0 {
                assert_eq!(bucket_of(bucket_max(bucket - 1) + 1), bucket);
            }
        }
        assert_eq!(bucket_max(BUCKETS - 1), VALUE_MAX);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_come_from_what_was_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let file = MappedFile::create(&dir.path().join("h"), BYTES as u64).unwrap();
        let histogram = Histogram::at(&file, 0);
        (1..=1000).for_each(|v| histogram.record(v));
        let copy = HistogramCopy::read(|i| file.u64_at(i * 8).load(Ordering::Relaxed));
        assert_eq!((copy.count(), copy.max_ns, copy.sum_ns), (1000, 1000, 500_500));
        assert!(copy.quantile_ns(0.5).abs_diff(500) <= 4);
        assert_eq!(copy.quantile_ns(1.0), 1000);
    }

    #[test]
    fn a_difference_holds_what_came_in_between() {
        let mut before = HistogramCopy { sum_ns: 100, max_ns: 100, ..HistogramCopy::default() };
        before.buckets[bucket_of(100)] = 1;
        let mut after = before.clone();
        after.merge(&HistogramCopy { sum_ns: 40, max_ns: 40, buckets: before.buckets.clone() });
        let between = after.since(&before);
        assert_eq!((between.count(), between.sum_ns, between.max_ns), (1, 40, 100));
        assert_eq!(after.since(&after).max_ns, 0);
    }

    proptest! {
        #[test]
        fn a_value_is_kept_within_one_percent(value in 0..=VALUE_MAX) {
            let kept = bucket_max(bucket_of(value));
            prop_assert!(kept >= value && kept - value <= value / 128);
        }
    }
}
