//! Hash of a stage's state: order-dependent over words, cheap, the same on every host.

/// Changes with what is hashed and how: digests of another version say nothing about a state of this one.
pub const STATE_VERSION: u32 = 8;

/// Folds words into one.
pub fn fold(seed: u64, words: impl Iterator<Item = u64>) -> u64 {
    words.fold(seed, |hash, word| {
        let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    })
}
