//! The hot path: pinned threads that receive market data, decide and send orders, without allocation,
//! lock or stray system call once they run.

pub mod account;
pub mod book;
pub mod digest;
pub mod live;
pub mod market;
pub mod message;
pub mod net;
pub mod order;
pub mod pipeline;
pub mod risk;
pub mod signal;
pub mod sim;
pub mod stage;
pub mod strategy;
pub mod venue;
pub mod wire;
