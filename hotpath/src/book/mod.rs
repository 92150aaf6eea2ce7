//! Order books: the ladder of one instrument and its synchronisation with the venue's stream.

mod ladder;
mod sync;

pub use ladder::{Book, Top};
pub use sync::{DiffResult, SnapshotResult, SyncedBook};
