//! Sockets and cores of the hot threads.

pub mod affinity;
pub mod connection;
pub mod cores;
pub mod settings;
pub mod silence;
pub mod socket;
pub mod tls;
pub mod wait;
