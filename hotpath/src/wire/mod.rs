//! Bytes to values and back, without IO: WebSocket frames and JSON of a known shape.

pub mod digits;
pub mod json;
pub mod simd;
pub mod text;
pub mod tls;
pub mod ws;
