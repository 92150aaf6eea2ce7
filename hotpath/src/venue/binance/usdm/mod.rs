//! Binance USD-M futures.

mod decode;
mod fallback;
mod order_text;
mod private;

pub use decode::{DecodeError, Decoded, MarketDecoder};
pub use order_text::{OrderEncoder, REQUEST_BYTES_MAX, Request, sign_request};
pub use private::{KEY_EXPIRED, PrivateDecoder, PrivateError, PrivateEvent, RequestKind, is_secret};
