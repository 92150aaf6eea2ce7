//! Layers of the configuration: files, then the environment.

use super::Config;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::{Table, Value};

/// Prefix of environment overrides.
const ENV_PREFIX: &str = "TICKPATH__";

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or a variable does not parse, names an unknown key or has a value of the wrong type.
    #[error("configuration {origin}: {message}")]
    Parse {
        /// File with line, or variable.
        origin: String,
        /// What is wrong and what was probably meant.
        message: String,
    },
    /// A value outside its range or in conflict with another.
    #[error("configuration {0}")]
    Invalid(String),
}

/// Loads `files` in order, then the overrides of `environment`, and checks the result.
///
/// # Errors
///
/// [`ConfigError`] names file and line, or the variable.
pub fn load(
    files: &[PathBuf],
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut merged = Table::new();
    for path in files {
        merge(&mut merged, read_file(path)?);
    }
    for (name, text) in environment {
        if let Some(key) = name.strip_prefix(ENV_PREFIX) {
            apply_override(&mut merged, &name, key, &text)?;
        }
    }
    let config =
        Config::deserialize(Value::Table(merged)).map_err(|e| parse_error("(all layers)", &e.to_string()))?;
    config.check()?;
    Ok(config)
}

/// Reads a file as a table; parses it as a whole configuration first so that an error has a line.
fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    if let Err(e) = toml::from_str::<Config>(&text) {
        let start = e.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..start].matches('\n').count() + 1;
        return Err(parse_error(&format!("{}:{line}", path.display()), e.message()));
    }
    toml::from_str(&text).map_err(|e| parse_error(&path.display().to_string(), e.message()))
}

fn parse_error(origin: &str, message: &str) -> ConfigError {
    let mut message = message.trim().to_owned();
    if let Some(meant) = suggestion(&message) {
        message.push_str(&format!("; did you mean `{meant}`?"));
    }
    ConfigError::Parse { origin: origin.to_owned(), message }
}

/// Tables merge key by key, everything else is replaced.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// `RISK__COLLAR_BPS=50` sets `risk.collar_bps`. A value that is no TOML (a bare word) is a string.
fn apply_override(into: &mut Table, name: &str, key: &str, text: &str) -> Result<(), ConfigError> {
    let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
    let as_toml = toml::from_str::<Table>(&format!("v = {text}")).ok().and_then(|mut t| t.remove("v"));
    let candidates = as_toml.into_iter().chain([Value::String(text.to_owned())]);
    let mut refusal = None;
    for value in candidates {
        let mut layer = value;
        for part in path.iter().rev() {
            layer = Value::Table(Table::from_iter([(part.clone(), layer)]));
        }
        match (Config::deserialize(layer.clone()), layer) {
            (Ok(_), Value::Table(layer)) => {
                merge(into, layer);
                return Ok(());
            }
            (Err(e), _) => refusal = refusal.or(Some(e.to_string())),
            (Ok(_), _) => {}
        }
    }
    Err(parse_error(name, &refusal.unwrap_or_else(|| "not a key".into())))
}

/// The expected name closest to the unknown one, taken from serde's own list.
fn suggestion(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next().filter(|_| message.contains("unknown field"))?;
    quoted
        .map(|name| (edit_distance(unknown, name), name))
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
        .min()
        .map(|(_, name)| name.to_owned())
}

/// Levenshtein distance.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "
[[instrument]]
symbol = \"AAA\"
[[thread]]
stages = [\"feed\", \"engine\", \"gateway\"]
[risk]
collar_bps = 80
";

    fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load(&[path], env).map_err(|e| e.to_string())
    }

    #[test]
    fn environment_wins_over_the_file() {
        let config =
            load_text(SOUND, &[("TICKPATH__RISK__COLLAR_BPS", "50"), ("TICKPATH__INSTANCE__ID", "abc")])
                .unwrap();
        assert_eq!((config.risk.collar_bps, config.instance.id.as_str()), (50, "abc"));
        assert_eq!(load_text(SOUND, &[]).unwrap().risk.collar_bps, 80);
    }

    #[test]
    fn later_files_win_key_by_key() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, SOUND).unwrap();
        std::fs::write(&b, "[risk]\nopen_orders_max = 3\n").unwrap();
        let config = load(&[a, b], std::iter::empty()).unwrap();
        assert_eq!((config.risk.collar_bps, config.risk.open_orders_max), (80, 3));
    }

    #[test]
    fn an_unknown_key_is_refused_with_line_and_suggestion() {
        let text = load_text(&format!("{SOUND}\ncollar_bsp = 3\n"), &[]).unwrap_err();
        assert!(text.contains("config.toml:9"), "{text}");
        assert!(text.contains("did you mean `collar_bps`?"), "{text}");
        let text = load_text(SOUND, &[("TICKPATH__RISK__COLAR_BPS", "5")]).unwrap_err();
        assert!(
            text.contains("TICKPATH__RISK__COLAR_BPS") && text.contains("did you mean `collar_bps`?"),
            "{text}"
        );
    }

    #[test]
    fn a_value_out_of_range_names_key_value_and_bound() {
        let text = load_text(SOUND, &[("TICKPATH__RISK__COLLAR_BPS", "0")]).unwrap_err();
        assert_eq!(text, "configuration risk.collar_bps: 0 is outside 1..=5000");
    }

    #[test]
    fn stages_must_all_run_once() {
        let text =
            load_text("[[instrument]]\nsymbol=\"A\"\n[[thread]]\nstages=[\"feed\"]\n", &[]).unwrap_err();
        assert!(text.contains("exactly once"), "{text}");
    }

    #[test]
    fn a_live_instance_does_not_arm_itself() {
        let env = [("TICKPATH__INSTANCE__MODE", "live"), ("TICKPATH__INSTANCE__ARM_AT_START", "true")];
        assert!(load_text(SOUND, &env).unwrap_err().contains("simulation only"));
    }
}
