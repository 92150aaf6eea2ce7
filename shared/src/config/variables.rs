//! Variables that configure: `TICKPATH__SECTION__KEY`, well-known names of others, and `.env` files.

use super::{Config, ConfigError, load::parse_error};
use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};
use toml::{Table, Value};

/// Prefix of overrides.
const PREFIX: &str = "TICKPATH__";

/// Names that other programs of the kind use, and what they set here. `TICKPATH__` wins over them.
pub const ALIASES: &[Alias] = &[
    alias("TRADING_MODE", "instance.mode", "`simulation` or `live`", |text, _| word(&text.to_lowercase())),
    alias("SYMBOLS", "instrument", "symbols with commas between them, or a JSON list", symbols),
    alias("ORDER_CONFIRMATION_REQUIRED", "risk.confirm", "`true` or `false`", flag),
    alias("MAX_OPEN_POSITIONS", "risk.positions_max", "a whole number", whole),
    alias("MIN_RISK_REWARD_RATIO", "risk.reward_ratio_min", "a number", amount),
    alias("SIMULATION_INITIAL_CAPITAL", "simulation.balance", "an amount", amount),
    alias("SIMULATION_COMMISSION", "simulation.taker_fee", "a share", amount),
    alias("SIMULATION_SLIPPAGE", "simulation.slippage", "a share", amount),
    alias("LOG_LEVEL", "control.log_level", "`error`, `warn`, `info` or `debug`", level),
    alias("HEALTH_CHECK_PORT", "control.bind", "a port", port),
];

/// A name of others.
pub struct Alias {
    /// The variable.
    pub name: &'static str,
    /// The key that it sets.
    pub key: &'static str,
    /// What it may hold.
    pub allowed: &'static str,
    /// The value of a text, beside what earlier layers say.
    convert: fn(&str, &Table) -> Option<Value>,
}

const fn alias(
    name: &'static str,
    key: &'static str,
    allowed: &'static str,
    convert: fn(&str, &Table) -> Option<Value>,
) -> Alias {
    Alias { name, key, allowed, convert }
}

fn word(text: &str) -> Option<Value> {
    Some(Value::String(text.to_owned()))
}

/// Instruments that are configured already keep their other settings.
fn symbols(text: &str, earlier: &Table) -> Option<Value> {
    let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
    let names = bare.split(',').map(|name| name.trim().trim_matches(['"', '\'']));
    let known = earlier.get("instrument").and_then(Value::as_array);
    let instrument = |name: &str| {
        let same = |value: &&Value| value.get("symbol").and_then(Value::as_str) == Some(name);
        let bare = || Value::Table(Table::from_iter([("symbol".to_owned(), name.into())]));
        known.and_then(|all| all.iter().find(same)).cloned().unwrap_or_else(bare)
    };
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    let is_plain = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric());
    (!names.is_empty() && names.iter().all(is_plain))
        .then(|| Value::Array(names.into_iter().map(instrument).collect()))
}

fn flag(text: &str, _: &Table) -> Option<Value> {
    text.to_lowercase().parse().ok().map(Value::Boolean)
}

fn whole(text: &str, _: &Table) -> Option<Value> {
    text.parse().ok().map(Value::Integer)
}

fn amount(text: &str, _: &Table) -> Option<Value> {
    crate::types::decimal::parse(text.as_bytes(), 8).ok().and_then(|_| word(text))
}

fn level(text: &str, _: &Table) -> Option<Value> {
    let level = match text.to_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "critical" | "fatal" => "error".to_owned(),
        "trace" => "debug".to_owned(),
        other => other.to_owned(),
    };
    word(&level)
}

/// The host stays the one that is configured.
fn port(text: &str, earlier: &Table) -> Option<Value> {
    let bind = earlier.get("control").and_then(|control| control.get("bind")).and_then(Value::as_str);
    let address = bind.and_then(|bind| bind.parse::<SocketAddr>().ok());
    let host = address.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip());
    text.parse().ok().map(|port| Value::String(SocketAddr::new(host, port).to_string()))
}

/// What a variable sets; `None` for one that is not ours.
///
/// # Errors
///
/// [`ConfigError`] names the variable, the value seen and what is allowed.
pub(super) fn layer_of(name: &str, text: &str, earlier: &Table) -> Result<Option<Table>, ConfigError> {
    if let Some(key) = name.strip_prefix(PREFIX) {
        return layer(name, key, text).map(Some);
    }
    let Some(alias) = ALIASES.iter().find(|alias| alias.name == name) else { return Ok(None) };
    let refused =
        |why: &str| parse_error(name, &format!("{}: {text:?} is not {}{why}", alias.key, alias.allowed));
    let value = (alias.convert)(text, earlier).ok_or_else(|| refused(""))?;
    let layer = nested(alias.key.split('.'), value);
    match Config::deserialize(Value::Table(layer.clone())) {
        Ok(_) => Ok(Some(layer)),
        Err(e) => Err(refused(&format!(" ({})", e.message().trim()))),
    }
}

/// `RISK__COLLAR_BPS=50` sets `risk.collar_bps`. A value that is no TOML (a bare word) is a string.
fn layer(name: &str, key: &str, text: &str) -> Result<Table, ConfigError> {
    let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
    let as_toml = toml::from_str::<Table>(&format!("v = {text}")).ok().and_then(|mut t| t.remove("v"));
    let candidates = as_toml.into_iter().chain([Value::String(text.to_owned())]);
    let mut refusal = None;
    for value in candidates {
        let layer = nested(path.iter().map(String::as_str), value);
        match Config::deserialize(Value::Table(layer.clone())) {
            Ok(_) => return Ok(layer),
            Err(e) => refusal = refusal.or(Some(e.message().trim().to_owned())),
        }
    }
    let refusal = refusal.unwrap_or_else(|| "not a key".into());
    Err(parse_error(name, &format!("{}: {refusal}", path.join("."))))
}

fn nested<'a>(path: impl DoubleEndedIterator<Item = &'a str>, value: Value) -> Table {
    let whole =
        path.rev().fold(value, |inner, part| Value::Table(Table::from_iter([(part.to_owned(), inner)])));
    match whole {
        Value::Table(table) => table,
        _ => Table::new(),
    }
}

/// Variables of a `.env` file: `NAME=value` a line, with or without `export` and quotes; `#` begins a comment.
///
/// # Errors
///
/// [`ConfigError`] names file and line.
pub(super) fn read_dotenv(path: &Path, text: &str) -> Result<Vec<(usize, String, String)>, ConfigError> {
    let mut variables = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let refused = |why: &str| parse_error(&format!("{}:{}", path.display(), index + 1), why);
        let (name, value) = line
            .split_once('=')
            .filter(|(name, _)| is_name(name.trim()))
            .ok_or_else(|| refused("NAME=value is expected"))?;
        let value = unquoted(value.trim()).ok_or_else(|| refused("a value in quotes ends with them"))?;
        variables.push((index + 1, name.trim().to_owned(), value.to_owned()));
    }
    Ok(variables)
}

/// A value without its quotes and without the comment behind it; `None` when something else stands behind the quotes.
fn unquoted(value: &str) -> Option<&str> {
    for quote in ['"', '\''] {
        if let Some(inside) = value.strip_prefix(quote) {
            let (value, rest) = inside.split_once(quote)?;
            let is_over = rest.trim_start().is_empty() || rest.trim_start().starts_with('#');
            return Some(value).filter(|value| is_over && !value.contains('\\'));
        }
    }
    Some(value.split_once(" #").map_or(value, |(value, _)| value.trim_end()))
}
