//! What can be configured, for people: a commented file, a reference, and the configuration in force with its origins.
//! All of it is read from the schema of the configuration.

use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write;
use tickpath_shared::config::{ALIASES, Loaded, SCHEMA};

/// A key of the configuration.
struct Key {
    name: String,
    meaning: String,
    /// As TOML; `None` for one that has to be given, or is absent unless it is.
    default: Option<String>,
    allowed: String,
}

/// A table of the configuration.
struct Section {
    name: String,
    meaning: String,
    is_array: bool,
    keys: Vec<Key>,
}

/// The schema as it is printed.
///
/// # Errors
///
/// None in a build that passed its tests.
pub fn schema() -> Result<Value> {
    serde_json::from_str(SCHEMA).context("schema of the configuration")
}

/// A configuration file with every key, its meaning, its default, and what it may hold, all of it commented out.
///
/// # Errors
///
/// None in a build that passed its tests.
pub fn template() -> Result<String> {
    let mut text = String::from(
        "# Configuration of tickpath. Every line that is commented out shows the default.\n\
         # Later layers win: this file, `.env` beside it, the environment (TICKPATH__SECTION__KEY).\n",
    );
    for section in sections(&schema()?) {
        let (open, close) = if section.is_array { ("[[", "]]") } else { ("[", "]") };
        let comment = if section.is_array { "# " } else { "" };
        let _ = write!(text, "\n# {}\n{comment}{open}{}{close}\n", section.meaning, section.name);
        for key in &section.keys {
            let _ = writeln!(text, "# {} ({})", key.meaning, key.allowed);
            let default = key.default.as_deref().unwrap_or("");
            let _ = writeln!(text, "# {} = {default}", key.name);
        }
    }
    Ok(text)
}

/// The reference as Markdown.
///
/// # Errors
///
/// None in a build that passed its tests.
pub fn reference() -> Result<String> {
    let mut text = String::from(
        "# Configuration\n\nLayers, later wins: defaults, `config.toml` of the data directory, `.env` beside it, the \
         environment.\n`TICKPATH__RISK__COLLAR_BPS=50` sets `risk.collar_bps`; `tickpath config show --origins` tells \
         where every\nvalue comes from, `tickpath config check` what is wrong with one, `tickpath config new` prints a \
         commented file.\nSecrets stand in files of their own (mode 0600), never in the configuration.\n\n\
         ## Names of others\n\n| variable | sets | holds |\n|---|---|---|\n",
    );
    for alias in ALIASES {
        let _ = writeln!(text, "| `{}` | `{}` | {} |", alias.name, alias.key, alias.allowed);
    }
    for section in sections(&schema()?) {
        let (open, close) = if section.is_array { ("[[", "]]") } else { ("[", "]") };
        let _ = write!(
            text,
            "\n## `{open}{}{close}`\n\n{}\n\n| key | holds | default | meaning |\n|---|---|---|---|\n",
            section.name, section.meaning
        );
        for key in &section.keys {
            let default = key.default.as_deref().map_or_else(String::new, |text| format!("`{text}`"));
            let cells = [format!("`{}`", key.name), key.allowed.clone(), default, key.meaning.clone()];
            let _ = writeln!(text, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
        }
    }
    Ok(text)
}

/// The configuration in force, a key a line, with where it was configured.
///
/// # Errors
///
/// None in a build that passed its tests.
pub fn origins(loaded: &Loaded) -> Result<String> {
    let mut lines = Vec::new();
    flatten(&serde_json::to_value(&loaded.config)?, "", &mut lines);
    let width =
        lines.iter().map(|(key, value)| key.len() + value.len() + 3).filter(|w| *w < 60).max().unwrap_or(0);
    let mut text = String::new();
    for (key, value) in lines {
        let setting = format!("{key} = {value}");
        let origin = loaded.origins.of(&key).map_or_else(|| "default".to_owned(), ToString::to_string);
        let _ = writeln!(text, "{setting:width$}  # {origin}");
    }
    Ok(text)
}

fn flatten(value: &Value, prefix: &str, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(inner, &key, lines);
            }
        }
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            for (index, inner) in elements.iter().enumerate() {
                flatten(inner, &format!("{prefix}[{index}]"), lines);
            }
        }
        Value::Null => {}
        _ => lines.push((prefix.to_owned(), value.to_string())),
    }
}

fn sections(schema: &Value) -> Vec<Section> {
    let mut found = Vec::new();
    collect(schema, schema, "", &mut found);
    found
}

/// Sections below a table of the schema: tables and arrays of tables.
fn collect(schema: &Value, table: &Value, prefix: &str, found: &mut Vec<Section>) {
    let Some(properties) = table["properties"].as_object() else { return };
    for (name, property) in properties {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let (inner, is_array) = match property["items"].is_object() {
            true => (resolved(schema, &property["items"]), true),
            false => (resolved(schema, property), false),
        };
        if inner["properties"].is_object() {
            let meaning = text_of(&property["description"]).unwrap_or_else(|| described(inner));
            let keys = keys_of(schema, inner);
            found.push(Section { name: path.clone(), meaning, is_array, keys });
            collect(schema, inner, &path, found);
        } else if prefix.is_empty() {
            // A table with names of the user's choice.
            let allowed = "numbers by names of your choice".to_owned();
            let key = Key { name: "name".into(), meaning: described(property), default: None, allowed };
            found.push(Section {
                name: path,
                meaning: described(property),
                is_array: false,
                keys: vec![key],
            });
        }
    }
}

fn keys_of(schema: &Value, table: &Value) -> Vec<Key> {
    let properties = table["properties"].as_object().into_iter().flatten();
    let is_plain = |property: &Value| {
        let inner = resolved(schema, property);
        !inner["properties"].is_object() && !resolved(schema, &property["items"])["properties"].is_object()
    };
    properties
        .filter(|(_, property)| is_plain(property))
        .map(|(name, property)| Key {
            name: name.clone(),
            meaning: described(property),
            default: Some(&property["default"]).filter(|value| !value.is_null()).map(ToString::to_string),
            allowed: allowed(schema, property),
        })
        .collect()
}

/// What stands behind a reference.
fn resolved<'a>(schema: &'a Value, property: &'a Value) -> &'a Value {
    let alternatives = property["allOf"].as_array().or_else(|| property["anyOf"].as_array());
    let inner = alternatives.and_then(|all| all.first()).unwrap_or(property);
    match inner["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        Some(pointer) => schema.pointer(pointer).unwrap_or(inner),
        None => inner,
    }
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.replace('\n', " "))
}

fn described(value: &Value) -> String {
    text_of(&value["description"]).unwrap_or_default()
}

/// Kinds of values and, of closed lists, the values.
fn allowed(schema: &Value, property: &Value) -> String {
    let inner = resolved(schema, property);
    let words: Vec<&str> = inner["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|case| case["const"].as_str())
        .chain(inner["enum"].as_array().into_iter().flatten().filter_map(Value::as_str))
        .collect();
    if !words.is_empty() {
        return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    let kind = match &inner["type"] {
        Value::Array(kinds) => kinds.iter().find_map(Value::as_str).filter(|kind| *kind != "null"),
        kind => kind.as_str(),
    };
    match kind {
        Some("array") => format!("list: {}", allowed(schema, &inner["items"])),
        Some("integer") => "whole number".to_owned(),
        Some("string") => "text".to_owned(),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some(other) => other.to_owned(),
        None => "text".to_owned(),
    }
}
