//! What a route takes: named values with bounds, in the query or as members of a JSON object, checked in one place and
//! described in one place.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A whole number within bounds.
    Integer(i64, i64),
    /// Any number.
    Number,
    /// Text of at most so many characters, none of which controls anything.
    Text(usize),
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// `true` or `false`.
    Flag,
}

/// A value that a route takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) is_required: bool,
    pub(super) meaning: &'static str,
}

impl Field {
    pub(super) const fn optional(name: &'static str, shape: Shape, meaning: &'static str) -> Self {
        Self { name, shape, is_required: false, meaning }
    }

    pub(super) const fn required(name: &'static str, shape: Shape, meaning: &'static str) -> Self {
        Self { name, shape, is_required: true, meaning }
    }

    /// Its JSON schema.
    pub(super) fn schema(&self) -> Value {
        match self.shape {
            Shape::Integer(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
            Shape::Number => json!({"type": "number"}),
            Shape::Text(most) => {
                let pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";
                json!({"type": "string", "maxLength": most, "minLength": 1, "pattern": pattern})
            }
            Shape::Word(words) => json!({"type": "string", "enum": words()}),
            Shape::Flag => json!({"type": "boolean"}),
        }
    }

    /// Refuses what the field may not be, saying what was seen and what may be.
    fn check(&self, value: Value) -> Result<Value, String> {
        let name = self.name;
        let is_right = match (self.shape, &value) {
            (Shape::Integer(min, max), value) => value.as_i64().is_some_and(|v| (min..=max).contains(&v)),
            (Shape::Number, value) => value.as_f64().is_some_and(f64::is_finite),
            (Shape::Text(most), Value::String(text)) => {
                (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
            }
            (Shape::Word(words), Value::String(text)) => words().contains(&text.as_str()),
            (Shape::Flag, value) => value.is_boolean(),
            _ => false,
        };
        if is_right {
            return Ok(value);
        }
        let wanted = match self.shape {
            Shape::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Shape::Number => "a number".to_owned(),
            Shape::Text(most) => format!("a text of 1 to {most} characters that control nothing"),
            Shape::Word(words) => format!("one of {}", words().join(", ")),
            Shape::Flag => "true or false".to_owned(),
        };
        let is_secret = matches!(name, "secret" | "confirm");
        let seen: String =
            if is_secret { "what was sent".to_owned() } else { value.to_string().chars().take(80).collect() };
        Err(format!("{name}: {seen} is not {wanted}"))
    }
}

/// Of a strategy and a symbol, one may say what a change is about.
const EXCLUSIVE: [&str; 2] = ["strategy", "symbol"];

/// Names of which one may be there at most, where a route takes them all.
pub(super) fn exclusive(fields: &[Field]) -> Option<[&'static str; 2]> {
    let has = |name: &&str| fields.iter().any(|field| field.name == *name);
    EXCLUSIVE.iter().all(has).then_some(EXCLUSIVE)
}

/// Values that passed.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(BTreeMap<&'static str, Value>);

impl Values {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(Value::as_f64)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// All but one, as they were sent, for the audit log.
    pub(super) fn without(&self, name: &str) -> String {
        let kept: Map<String, Value> =
            self.0.iter().filter(|(n, _)| **n != name).map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        Value::Object(kept).to_string()
    }

    /// Values of a query, percent-encoded.
    ///
    /// # Errors
    ///
    /// A text naming the value, what was seen and what may be.
    pub(super) fn of_query(query: &str, fields: &'static [Field]) -> Result<Self, String> {
        let mut found = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, text) = (decode(name)?, decode(value)?);
            let is_text =
                fields.iter().any(|f| f.name == name && matches!(f.shape, Shape::Text(_) | Shape::Word(_)));
            let value = if is_text {
                Value::String(text)
            } else {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            };
            if found.insert(name.clone(), value).is_some() {
                return Err(format!("{name:?} is there twice"));
            }
        }
        Self::checked(found, fields)
    }

    /// Values of a body: a JSON object, or nothing.
    ///
    /// # Errors
    ///
    /// As for [`Self::of_query`].
    pub(super) fn of_body(body: &[u8], fields: &'static [Field]) -> Result<Self, String> {
        if body.is_empty() {
            return Self::checked(Map::new(), fields);
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(found)) => Self::checked(found, fields)?.of_one_scope(fields),
            Ok(_) => Err("the body is no JSON object".to_owned()),
            Err(e) => Err(format!("the body is no JSON: {e}")),
        }
    }

    /// What is done is done to one thing; a list may be narrowed by all of them.
    fn of_one_scope(self, fields: &[Field]) -> Result<Self, String> {
        match exclusive(fields) {
            Some([one, other]) if self.0.contains_key(one) && self.0.contains_key(other) => {
                Err(format!("a {one} or a {other}, not both"))
            }
            _ => Ok(self),
        }
    }

    fn checked(found: Map<String, Value>, fields: &'static [Field]) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for (name, value) in found {
            let Some(field) = fields.iter().find(|field| field.name == name) else {
                let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
                let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
                return Err(format!("{name:?} is not known here; taken is {known}"));
            };
            values.insert(field.name, field.check(value)?);
        }
        match fields.iter().find(|field| field.is_required && !values.contains_key(field.name)) {
            Some(field) => Err(format!("{}: missing; {}", field.name, field.meaning)),
            None => Ok(Self(values)),
        }
    }
}

/// Percent-encoded text.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16));
                let (high, low) = (digit(), digit());
                let value = high.zip(low).map(|(high, low)| (high * 16 + low) as u8);
                value.ok_or_else(|| format!("{text:?} is not percent-encoded"))?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[Field] = &[
        Field::optional("limit", Shape::Integer(1, 1000), "Rows."),
        Field::optional("symbol", Shape::Text(20), "Instrument."),
        Field::optional("value", Shape::Number, "Value."),
        Field::optional("cancel", Shape::Flag, "Flag."),
        Field::optional("by", Shape::Word(|| vec!["day", "week"]), "Word."),
    ];
    const NEEDY: &[Field] = &[Field::required("order", Shape::Text(20), "The order.")];

    #[test]
    fn values_come_from_the_query_and_from_the_body() {
        let query = Values::of_query("limit=7&symbol=BTC%2fUSDT+x&cancel=true", FIELDS).unwrap();
        assert_eq!((query.integer("limit"), query.text("symbol")), (Some(7), Some("BTC/USDT x")));
        assert!(query.flag("cancel") && query.number("value").is_none());
        let numbers = Values::of_query("symbol=123", FIELDS).unwrap();
        assert_eq!(numbers.text("symbol"), Some("123"), "text that looks like a number");
        let body = Values::of_body(br#"{"value": -1.5, "symbol": "X"}"#, FIELDS).unwrap();
        assert_eq!((body.number("value"), body.text("symbol")), (Some(-1.5), Some("X")));
        assert_eq!(body.without("symbol"), r#"{"value":-1.5}"#);
        assert!(Values::of_body(b"", FIELDS).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_bound() {
        let query = |text: &str| Values::of_query(text, FIELDS).unwrap_err();
        assert_eq!(query("limit=0"), "limit: 0 is not a whole number from 1 to 1000");
        assert_eq!(query("limit=x"), "limit: \"x\" is not a whole number from 1 to 1000");
        assert_eq!(query("limit=1&limit=2"), "\"limit\" is there twice");
        assert_eq!(query("page=1"), "\"page\" is not known here; taken is limit, symbol, value, cancel, by");
        assert_eq!(query("symbol="), "symbol: \"\" is not a text of 1 to 20 characters that control nothing");
        assert!(query("symbol=a%0ab").contains("control nothing"), "line breaks stand in no log");
        assert!(query("symbol=%zz").contains("percent-encoded") && query("symbol=%ff").contains("UTF-8"));
        assert!(query(&format!("symbol={}", "x".repeat(21))).contains("1 to 20 characters"));
        assert_eq!(query("by=hour"), "by: \"hour\" is not one of day, week");
        let body = |text: &str| Values::of_body(text.as_bytes(), NEEDY).unwrap_err();
        assert_eq!(body("{}"), "order: missing; The order.");
        assert_eq!(body("[]"), "the body is no JSON object");
        assert!(body("{").starts_with("the body is no JSON: "));
        assert_eq!(
            body(r#"{"order": 1}"#),
            "order: 1 is not a text of 1 to 20 characters that control nothing"
        );
    }
}
