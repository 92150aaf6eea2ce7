//! Domain types: decimals, instrument definitions, orders and ids.

pub mod decimal;
mod definition;
mod ids;
mod order;
mod reason;

pub use definition::{Grid, InstrumentDefinition, MisfitKind, Symbol};
pub use ids::{ClientOrderId, EpochError, EpochFile, IdError, InstanceId};
pub use order::{OrderState, OrderType, PositionSide, SelfTrade, Side, TimeInForce, TradingState};
pub use reason::{Reason, StrategyName};
