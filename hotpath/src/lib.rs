//! The hot path: pinned threads that receive market data, decide and send orders, without allocation,
//! lock or stray system call once they run.

pub mod book;
pub mod market;
pub mod sim;
pub mod venue;
pub mod wire;
