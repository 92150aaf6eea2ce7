//! Parameters that are estimated from what was recorded, away from the hot process.

pub mod garch;
pub mod session;
mod simplex;
