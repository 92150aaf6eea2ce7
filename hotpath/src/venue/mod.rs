//! Venues: a closed set, so that the hot path dispatches without a table of functions.
//!
//! Everything that names a venue lies below this folder. A venue module holds what differs: endpoints,
//! field names, rules, parsing.

pub mod binance;
