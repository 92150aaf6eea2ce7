//! Parameters of a request, whichever way they came: query and body of REST, JSON of the WebSocket API.

use super::{super::connection::percent_decode, refused::Refused};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, str::FromStr};
use tickpath_hotpath::venue::binance::sign::sorted_query;

/// Names and textual values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Of a query string and a form body; the query wins.
    pub(super) fn of_request(query: &str, body: &str) -> Self {
        let pairs = body.split('&').chain(query.split('&')).filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, value)| (percent_decode(name), percent_decode(value))).collect())
    }

    /// Of a JSON object: strings as they are, everything else as it is written.
    pub(super) fn of_json(object: &Map<String, Value>) -> Self {
        let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        Self(object.iter().map(|(name, value)| (name.clone(), text(value))).collect())
    }

    /// A value that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Refused> {
        self.get(name).ok_or_else(|| Refused::parameter(name))
    }

    /// A value of another type, `None` when absent.
    pub(super) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, Refused> {
        self.get(name).map(|text| text.parse().map_err(|_| Refused::parameter(name))).transpose()
    }

    /// `true` or `false`, the latter when absent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refused> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refused::parameter(name)),
        }
    }

    /// What a request of the WebSocket API signs: everything else, sorted by name.
    pub(super) fn payload(&self) -> String {
        sorted_query(self.0.iter().map(|(name, value)| (name.as_str(), value.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_wins_and_values_are_decoded() {
        let p = Parameters::of_request("a=1&b=x%2By", "a=2&c=");
        assert_eq!((p.get("a"), p.get("b"), p.get("c")), (Some("1"), Some("x+y"), None));
        assert_eq!(p.parsed::<u64>("a"), Ok(Some(1)));
        assert_eq!(p.parsed::<u64>("b").unwrap_err().code, -1102);
    }
}
