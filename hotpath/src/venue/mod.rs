//! Venues. Everything that names a venue lies below this folder; a venue module holds what differs:
//! endpoints, field names, rules, parsing.
//!
//! One venue is built in, so its types are used directly; the second turns them into a closed enum here.

pub mod binance;

pub use binance::sign::Secret;
pub use binance::usdm::rest::{
    Answer, Call, Funding, Http, Method, Rest, RestError, Transport, is_live_host, is_logged_on,
    logon_request, settles_in, streams,
};
pub use binance::usdm::{
    AccountChange, BOOK_STREAMS, DecodeError, Decoded, EarlyFill, KEY_EXPIRED, KIND, MARKET_STREAMS,
    MarketDecoder, OrderEncoder, PrivateDecoder, PrivateError, PrivateEvent, REQUEST_BYTES_MAX, Request,
    RequestKind, ShownPositions, StopChange, is_secret, sign_request,
};

use tickpath_shared::config::KeyKind;

/// What identifies us to a venue.
pub struct Credentials {
    /// API key, not secret by itself but never journalled.
    pub api_key: String,
    /// Signing secret.
    pub secret: Secret,
    /// Kind of key.
    pub kind: KeyKind,
}
