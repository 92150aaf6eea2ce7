//! The Binance USD-M protocol of the simulator: routes, REST, WebSocket API, account events.

mod account;
mod account_api;
mod algo;
mod api;
mod events;
mod exchange;
mod filters;
mod income;
mod limits;
mod market;
mod orders;
mod parameters;
mod refused;
mod rest;
mod roles;
pub mod script;
mod streams;
mod text;

pub use api::{ApiSession, Reply};
pub use exchange::Exchange;
pub use rest::HttpAnswer;
pub use roles::ClientRole;

/// Route that delivers a stream: book data on `public`, the rest on `market`.
pub fn route_of(stream: &str) -> &'static str {
    let name = stream.split_once('@').map_or("", |(_, name)| name);
    let is_book = name.starts_with("depth") || name == "bookTicker" || name == "trade";
    if is_book { "public" } else { "market" }
}
