//! The Binance USD-M protocol of the simulator: routes, REST, WebSocket API, account events.

mod account;
mod api;
mod exchange;
mod rest;
pub mod script;
mod text;

pub use exchange::{Exchange, Reply};

/// Route that delivers a stream: book data on `public`, the rest on `market`.
pub fn route_of(stream: &str) -> &'static str {
    let name = stream.split_once('@').map_or("", |(_, name)| name);
    let is_book = name.starts_with("depth") || name == "bookTicker" || name == "trade";
    if is_book { "public" } else { "market" }
}
