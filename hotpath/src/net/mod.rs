//! Sockets and cores of the hot threads.

pub mod affinity;
pub mod connection;
pub mod tls;
pub mod wait;
