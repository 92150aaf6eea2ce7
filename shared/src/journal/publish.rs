//! The two memory-ordering promises of the journal, apart from any mapping so that a model checker can
//! run exactly this code with its own atomics.

/// An atomic word of shared memory.
pub trait Word<T> {
    /// Loads with acquire ordering.
    fn load_acquire(&self) -> T;
    /// Stores with release ordering.
    fn store_release(&self, value: T);
    /// Orders everything before it with everything after it.
    fn fence();
}

impl Word<u32> for std::sync::atomic::AtomicU32 {
    #[inline]
    fn load_acquire(&self) -> u32 {
        self.load(std::sync::atomic::Ordering::Acquire)
    }
    #[inline]
    fn store_release(&self, value: u32) {
        self.store(value, std::sync::atomic::Ordering::Release);
    }
    #[inline]
    fn fence() {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }
}

impl Word<u64> for std::sync::atomic::AtomicU64 {
    #[inline]
    fn load_acquire(&self) -> u64 {
        self.load(std::sync::atomic::Ordering::Acquire)
    }
    #[inline]
    fn store_release(&self, value: u64) {
        self.store(value, std::sync::atomic::Ordering::Release);
    }
    #[inline]
    fn fence() {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }
}

/// Publishes a record whose other bytes are written: the writer's last act on it.
#[inline]
pub fn publish_record(length: &impl Word<u32>, bytes: u32) {
    length.store_release(bytes);
}

/// Length of the record at this place, or `None` while it is not published. Its bytes may be read after.
#[inline]
pub fn published_record(length: &impl Word<u32>) -> Option<u32> {
    Some(length.load_acquire()).filter(|&bytes| bytes != 0)
}

/// Hands a zeroed segment to the writer as the lane's segment number `ordinal`.
#[inline]
pub fn release_segment(generation: &impl Word<u64>, ordinal: u64) {
    generation.store_release(ordinal + 1);
}

/// True when the slot is zeroed for, or filled as, segment number `ordinal`.
#[inline]
pub fn is_segment(generation: &impl Word<u64>, ordinal: u64) -> bool {
    generation.load_acquire() == ordinal + 1
}

/// Takes a segment away from its readers before it is zeroed. The fence keeps the zeroing behind the mark.
#[inline]
pub fn withdraw_segment<W: Word<u64>>(generation: &W) {
    generation.store_release(0);
    W::fence();
}

/// True when what was copied before this call belongs to segment number `ordinal`. The fence keeps the copy
/// before the look.
#[inline]
pub fn was_segment<W: Word<u64>>(generation: &W, ordinal: u64) -> bool {
    W::fence();
    is_segment(generation, ordinal)
}
