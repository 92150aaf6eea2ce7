//! Order books: the ladder of one instrument and its synchronisation with the venue's stream.

mod bits;
mod divisor;
mod far;
mod ladder;
mod listing;
mod pool;
mod side;
mod sync;

pub use divisor::Divisor;
pub use ladder::{Book, Top};
pub use listing::Listing;
pub use sync::{DiffResult, SnapshotResult, SyncedBook};

use crate::pages;

/// So many default values whose pages are there.
fn boxed<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    match pages::zeros(N).into_boxed_slice().try_into() {
        Ok(values) => values,
        Err(_) => unreachable!("made with the length of the array"),
    }
}
