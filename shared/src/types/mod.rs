//! Domain types: decimals, instrument definitions, orders and ids.

mod breaker;
pub mod decimal;
mod definition;
mod held;
mod ids;
mod order;
mod parameter;
mod reason;

pub use breaker::{BreakerAction, BreakerChange, BreakerMetric, BreakerRelease};
pub use definition::{Grid, InstrumentDefinition, MisfitKind, Symbol};
pub use held::HeldChange;
pub use ids::{ClientOrderId, EpochError, EpochFile, IdError, InstanceId};
pub use order::{
    OrderState, OrderTerms, OrderType, PositionSide, PriceMatch, SelfTrade, Side, StopState, TimeInForce,
    TradingState,
};
pub use parameter::Parameter;
pub use reason::{Reason, StrategyName};
