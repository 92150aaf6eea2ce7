//! The deterministic cores under real rings, lanes, clocks and sockets.

mod engine;
mod gateway;
mod rings;

pub(crate) use engine::FusedEngine;
pub use engine::{EngineStage, MessageSink};
pub use gateway::{GatewayLinks, GatewayParts, GatewayStage, OrderSigner};
pub use rings::{EventRing, EventSender, event_ring};
