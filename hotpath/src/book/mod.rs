//! Order books: the ladder of one instrument and its synchronisation with the venue's stream.

mod bits;
mod divisor;
mod far;
mod ladder;
mod listing;
mod side;
mod sync;

pub use divisor::Divisor;
pub use ladder::{Book, Top};
pub use listing::Listing;
pub use sync::{DiffResult, SnapshotResult, SyncedBook};
