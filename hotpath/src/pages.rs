//! Memory whose pages are there before a hot thread writes to them: fresh zeroed memory is only a promise of the
//! system, and the first write to each of its pages costs a fault.

use rtrb::{Consumer, Producer, RingBuffer};
use std::hint::black_box;

/// A vector of zeros (of `T`'s default) that has been written to.
pub fn zeros<T: Copy + Default>(len: usize) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    // The address is used, so that allocation and zeros are not merged into a promise again.
    black_box(values.as_mut_ptr());
    values.resize(len, T::default());
    values
}

/// An empty vector with room for `len` values whose pages have been written to.
pub fn room<T: Copy + Default>(len: usize) -> Vec<T> {
    let mut values = zeros(len);
    values.clear();
    values
}

/// A ring whose slots have all been written to once, with `sample`.
pub fn ring<T: Copy>(capacity: usize, sample: T) -> (Producer<T>, Consumer<T>) {
    let (mut producer, mut consumer) = RingBuffer::new(capacity);
    while producer.push(sample).is_ok() {}
    while consumer.pop().is_ok() {}
    (producer, consumer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_new_memory_are_resident() {
        let before = resident_kib();
        let values: Vec<u64> = zeros(4 << 20);
        let empty: Vec<u64> = room(4 << 20);
        assert!(resident_kib() - before > 60_000, "64 MiB are resident");
        assert_eq!((values.len(), empty.len(), values[7]), (4 << 20, 0, 0));
    }

    fn resident_kib() -> i64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}
