//! Venues. Everything that names a venue lies below this folder; a venue module holds what differs:
//! endpoints, field names, rules, parsing.
//!
//! One venue is built in, so its types are used directly; the second turns them into a closed enum here.

pub mod binance;

pub use binance::sign::Secret;
pub use binance::usdm::{
    DecodeError, Decoded, KEY_EXPIRED, MarketDecoder, OrderEncoder, PrivateDecoder, PrivateEvent,
    REQUEST_BYTES_MAX, Request, RequestKind, is_secret, sign_request,
};
