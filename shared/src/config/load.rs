//! Layers of the configuration: files, a `.env` file, then the environment.

use super::{
    Config,
    origin::{Origin, Origins, key_at, line_of, too_large},
    variables::{layer_of, read_dotenv},
};
use crate::paths::DataDir;
use serde::Deserialize;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};
use thiserror::Error;
use toml::{Table, Value};

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
    #[error("configuration {}{message}", origin.as_ref().map_or_else(String::new, |origin| format!("{origin}: ")))]
    Invalid {
        /// Where it was configured; nowhere if a default is in conflict.
        origin: Option<Origin>,
        /// Key, value and bound.
        message: String,
    },
}

impl ConfigError {
    /// A complaint that begins with the key.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { origin: None, message: message.into() }
    }
}

/// A configuration and where its values come from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// Where it was configured.
    pub origins: Origins,
}

/// Variables of this process. Bytes that are no text are shown as such: whoever reads them refuses them.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (lossy(&name), lossy(&value)))
}

fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

/// The configuration of a data directory: its `config.toml`, its `.env`, then the environment.
///
/// # Errors
///
/// [`ConfigError`] names key, value, bound, and file with line or variable.
pub fn load(
    data: &DataDir,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    load_layers(&[data.config()], Some(&data.root().join(".env")), environment).map(|loaded| loaded.config)
}

/// Loads `files` in order, then a `.env` file if it is there, then the overrides of `environment`, and checks the result.
///
/// # Errors
///
/// [`ConfigError`] names key, value, bound, and file with line or variable.
pub fn load_layers(
    files: &[PathBuf],
    dotenv: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let (mut merged, mut origins) = (Table::new(), Origins::default());
    for path in files {
        let text = read(path)?;
        merge(&mut merged, parse_file(path, &text)?);
        origins.add_file(path, &text);
    }
    let variables = match dotenv.filter(|path| path.exists()) {
        Some(path) => read_dotenv(path, &read(path)?)?,
        None => Vec::new(),
    };
    let named = |(line, name, text): (usize, String, String)| {
        let file = dotenv.map_or_else(String::new, |path| path.display().to_string());
        (format!("{name} ({file}:{line})"), name, text)
    };
    let environment: Vec<_> = environment.map(|(name, text)| (name.clone(), name, text)).collect();
    for layer in [variables.into_iter().map(named).collect(), environment] {
        apply_variables(&mut merged, &mut origins, layer)?;
    }
    let config = Config::deserialize(Value::Table(merged.clone()))
        .map_err(|e| parse_error("(all layers)", e.message()))?;
    match config.check() {
        Ok(()) => Ok(Loaded { config, origins }),
        Err(ConfigError::Invalid { message, .. }) => {
            let value_at = |key: &str| lookup(&merged, key);
            let origin = origins.behind(&message, value_at).cloned();
            Err(ConfigError::Invalid { origin, message })
        }
        Err(other) => Err(other),
    }
}

/// Variables of one layer: our own names win over those of others.
fn apply_variables(
    merged: &mut Table,
    origins: &mut Origins,
    mut variables: Vec<(String, String, String)>,
) -> Result<(), ConfigError> {
    variables.sort_by_key(|(_, name, _)| name.starts_with("TICKPATH__"));
    for (shown, name, text) in variables {
        let layer = layer_of(&name, &text, merged).map_err(|e| match e {
            ConfigError::Parse { message, .. } => ConfigError::Parse { origin: shown.clone(), message },
            other => other,
        })?;
        if let Some(layer) = layer {
            origins.add_variable(&shown, &layer);
            merge(merged, layer);
        }
    }
    Ok(())
}

/// A value as text: `instrument[0].symbol`.
fn lookup(table: &Table, key: &str) -> Option<String> {
    let mut at: Option<&Value> = None;
    for part in key.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let inner = match at {
            None => table.get(name)?,
            Some(value) => value.get(name)?,
        };
        at = Some(match index {
            Some(index) => inner.get(index)?,
            None => inner,
        });
    }
    at.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// A file as a table; read as a whole configuration first so that an error has a key and a line.
fn parse_file(path: &Path, text: &str) -> Result<Table, ConfigError> {
    if let Err(e) = toml::from_str::<Config>(text) {
        let start = e.span().map_or(0, |span| span.start);
        let origin = format!("{}:{}", path.display(), line_of(text, start));
        let key = key_at(text, start).filter(|_| !e.message().contains("unknown field"));
        let message =
            key.map_or_else(|| e.message().to_owned(), |key| format!("{key}: {}", e.message().trim()));
        return Err(parse_error(&origin, &message));
    }
    if let Some((key, at)) = too_large(text) {
        let origin = format!("{}:{}", path.display(), line_of(text, at));
        return Err(parse_error(&origin, &format!("{key}: larger than {}", i64::MAX)));
    }
    toml::from_str(text).map_err(|e| parse_error(&path.display().to_string(), e.message()))
}

pub(super) fn parse_error(origin: &str, message: &str) -> ConfigError {
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
        let text = |e: ConfigError| e.to_string().replace(&dir.path().display().to_string(), "");
        load_layers(&[path], None, env).map(|loaded| loaded.config).map_err(text)
    }

    #[test]
    fn a_countdown_that_takes_the_weight_of_cancels_is_refused() {
        let countdown = |ms: &str| load_text(SOUND, &[("TICKPATH__VENUE__COUNTDOWN_MS", ms)]);
        assert_eq!(countdown("5000").unwrap().venue.countdown_ms, 5_000, "one instrument");
        let more: String = (0..3).map(|i| format!("[[instrument]]\nsymbol = \"B{i}\"\n")).collect();
        let many = SOUND.replacen("[[thread]]", &(more + "[[thread]]"), 1);
        let of = |ms: &str| load_text(&many, &[("TICKPATH__VENUE__COUNTDOWN_MS", ms)]);
        let why = of("5000").unwrap_err();
        assert!(
            why.contains("venue.countdown_ms: 5000 with 4 instruments takes 192 requests a minute"),
            "{why}"
        );
        assert!(of("7500").is_ok());
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
        let config = load_layers(&[a, b], None, std::iter::empty()).unwrap().config;
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
        assert_eq!(text, "configuration TICKPATH__RISK__COLLAR_BPS: risk.collar_bps: 0 is outside 1..=5000");
    }

    #[test]
    fn of_several_elements_the_wrong_one_is_named() {
        let line = |text: &str| {
            let refused = load_text(&format!("{SOUND}{text}"), &[]).unwrap_err();
            let after = refused.split("config.toml:").nth(1).unwrap_or_else(|| panic!("{refused}"));
            after.split(':').next().unwrap().parse::<usize>().unwrap()
        };
        // The sound part has eight lines.
        assert_eq!(
            line(
                "[[instrument]]\nsymbol = \"B\"\nleverage = 5\n[[instrument]]\nsymbol = \"C\"\nleverage = 200\n"
            ),
            13
        );
        assert_eq!(line("[[instrument]]\nsymbol = \"B\"\n[[instrument]]\nsymbol = \"B\"\n"), 11);
        assert_eq!(line("[[thread]]\nstages = [\"feed\", \"gateway\"]\n"), 9);
    }

    #[test]
    fn names_of_others_keep_what_they_do_not_name() {
        let bound = format!("{SOUND}[control]\nbind = \"10.0.0.5:8080\"\nbehind_proxy = true\n");
        let config = load_text(&bound, &[("HEALTH_CHECK_PORT", "9000")]).unwrap();
        assert_eq!(config.control.bind, "10.0.0.5:9000");
        let text = SOUND.replace("\"AAA\"", "\"AAA\"\nleverage = 3");
        let config = load_text(&text, &[("SYMBOLS", "[\"BBB\", \"AAA\"]")]).unwrap();
        let found: Vec<_> = config.instrument.iter().map(|i| (i.symbol.as_str(), i.leverage)).collect();
        assert_eq!(found, [("BBB", None), ("AAA", Some(3))]);
        assert!(load_text(SOUND, &[("LOG_LEVEL", "trace")]).is_ok());
    }

    #[test]
    fn a_dotenv_file_is_read_to_the_letter() {
        let dir = tempfile::tempdir().unwrap();
        let (config, dotenv) = (dir.path().join("c"), dir.path().join(".env"));
        std::fs::write(&config, SOUND).unwrap();
        let load = |text: &str| {
            std::fs::write(&dotenv, text).unwrap();
            load_layers(std::slice::from_ref(&config), Some(&dotenv), std::iter::empty())
                .map(|loaded| loaded.config.instance.id)
                .map_err(|e| e.to_string().rsplit('/').next().unwrap().to_owned())
        };
        assert_eq!(load("export TICKPATH__INSTANCE__ID='abc' # ours\n"), Ok("abc".into()));
        assert_eq!(load("\n#x\nTICKPATH__INSTANCE__ID=abd # ours\n"), Ok("abd".into()));
        for (text, line) in
            [("A\n", 1), ("\nA B=1\n", 2), ("A=\"x\"rest\n", 1), ("A=\"b \\\" c\"\n", 1), ("A='x\n", 1)]
        {
            assert!(
                load(text).unwrap_err().starts_with(&format!(".env:{line}: ")),
                "{text:?}: {:?}",
                load(text)
            );
        }
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
