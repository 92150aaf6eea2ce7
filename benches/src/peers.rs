//! What a user would otherwise write: typed frames for serde, with a fixed-point visitor for the numbers.

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

/// A decimal as an integer of 10^-3, read from a string without a float in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed(pub i64);

const PLACES: usize = 3;

impl<'de> Deserialize<'de> for Fixed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FixedVisitor;
        impl Visitor<'_> for FixedVisitor {
            type Value = Fixed;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a decimal in a string")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Fixed, E> {
                parse(text.as_bytes()).map(Fixed).ok_or_else(|| E::custom("no decimal"))
            }
        }
        deserializer.deserialize_str(FixedVisitor)
    }
}

fn parse(text: &[u8]) -> Option<i64> {
    let (mut value, mut places, mut has_point) = (0_i64, 0, false);
    for &byte in text {
        match byte {
            b'0'..=b'9' => {
                value = value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
                places += usize::from(has_point);
            }
            b'.' if !has_point => has_point = true,
            _ => return None,
        }
    }
    (places..PLACES).try_fold(value, |value, _| value.checked_mul(10))
}

/// A frame of a combined stream.
#[derive(Debug, Deserialize)]
pub struct Combined<T> {
    /// The event.
    pub data: T,
}

/// Best bid and ask.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, non_snake_case, reason = "the venue's field names")]
pub struct Ticker {
    pub u: u64,
    pub b: Fixed,
    pub B: Fixed,
    pub a: Fixed,
    pub A: Fixed,
    pub T: u64,
}

/// A diff.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, non_snake_case, reason = "the venue's field names")]
pub struct Depth {
    pub T: u64,
    pub U: u64,
    pub u: u64,
    pub pu: u64,
    pub b: Vec<(Fixed, Fixed)>,
    pub a: Vec<(Fixed, Fixed)>,
}

/// An aggregated trade.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, non_snake_case, reason = "the venue's field names")]
pub struct AggTrade {
    pub a: u64,
    pub p: Fixed,
    pub q: Fixed,
    pub T: u64,
    pub m: bool,
}
