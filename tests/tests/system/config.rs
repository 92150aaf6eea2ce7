//! The configuration: what is wrong is named with key and line, whatever it is; documents are those of the program.

use crate::PROGRAM;
use std::{path::Path, process::Command};
use tickpath_shared::config::{self, Config, ConfigError};
use tickpath_tests::{random::Random, root};
use tickpath_tools::settings;

/// A file that is generated: written anew on request, compared otherwise.
fn assert_current(path: &str, made: &str) {
    let path = root().join(path);
    if std::env::var_os("TICKPATH_WRITE_DOCS").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == made, "{} is old: TICKPATH_WRITE_DOCS=1 cargo test documented", path.display());
}

#[test]
fn the_documented_configuration_is_that_of_the_program() {
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Config)).unwrap();
    assert_current("shared/src/config/schema.json", &format!("{schema}\n"));
    assert_current("docs/configuration.md", &settings::reference().unwrap());
}

/// Every line of the commented file, put into force, is the default, and no key is missing.
#[test]
fn the_new_file_shows_the_defaults() {
    let template = settings::template().unwrap();
    let mut text = String::new();
    let mut is_array = false;
    for line in template.lines() {
        is_array = match line {
            line if line.starts_with("# [[") => true,
            line if line.starts_with('[') => false,
            _ => is_array,
        };
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_setting =
            bare.split_once(" = ").is_some_and(|(key, value)| !key.contains(' ') && !value.is_empty());
        if line.starts_with('[') || (is_setting && !is_array) {
            text.push_str(bare);
            text.push('\n');
        }
    }
    let read: Config = toml::from_str(&text).unwrap();
    assert_eq!(read, Config::default());
    let serialized = toml::to_string(&Config::default()).unwrap();
    let keys: Vec<&str> =
        serialized.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key).collect();
    assert!(keys.len() > 100, "{}", keys.len());
    for key in keys {
        let is_shown = template.contains(&format!("# {key} = ")) || template.contains(&format!("[[{key}]]"));
        assert!(is_shown || template.contains(&format!(".{key}]]")), "{key} is not in the new file");
    }
}

fn load(dir: &Path) -> Result<Config, ConfigError> {
    config::load_layers(&[dir.join("config.toml")], None, std::iter::empty()).map(|loaded| loaded.config)
}

/// A sound configuration with every key written out.
fn sound() -> Vec<String> {
    let head = "[[instrument]]\nsymbol = \"BTCUSDT\"\n[[instrument]]\nsymbol = \"ETHUSDT\"\n\
                [[thread]]\nstages = [\"feed\", \"engine\", \"gateway\"]\n\
                [[breaker]]\nmetric = \"day_loss\"\nthreshold = 100.0\n";
    let config: Config = toml::from_str(head).unwrap();
    toml::to_string(&config).unwrap().lines().map(str::to_owned).collect()
}

/// Anything, but mostly of the type that stands there.
fn random_value(random: &mut Random, old: &str) -> String {
    const WORDS: [&str; 18] = [
        "-1",
        "0",
        "1",
        "18446744073709551615",
        "-9223372036854775808",
        "1e308",
        "nan",
        "-0.0",
        "true",
        "\"\"",
        "\"live\"",
        "\"..\"",
        "[]",
        "[1, \"a\"]",
        "{}",
        "\"\\u0000\"",
        "1979-05-27",
        "\u{e9}",
    ];
    let number = |random: &mut Random| {
        let magnitude = 1_u64 << random.below(40);
        random.below(magnitude) as i64 - (random.below(4) == 0) as i64 * magnitude as i64
    };
    match (random.below(4), old.as_bytes()[0]) {
        (0, _) => WORDS[random.below(WORDS.len() as u64) as usize].to_owned(),
        (_, b'"') => format!("\"{}\"", number(random)),
        (_, b't' | b'f') => (old != "true").to_string(),
        (_, b'[') => "[]".to_owned(),
        _ if old.contains('.') => format!("{:?}", number(random) as f64 / 64.0),
        _ => number(random).to_string(),
    }
}

/// Ten thousand files in which up to three values are anything at all.
#[test]
fn whatever_is_wrong_is_named_with_key_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let whole = sound();
    std::fs::write(&path, whole.join("\n")).unwrap();
    load(dir.path()).unwrap();
    let settings: Vec<usize> = (0..whole.len()).filter(|at| whole[*at].contains(" = ")).collect();
    let mut random = Random::new(1);
    let (mut accepted, mut unread, mut refused) = (0, 0, 0);
    for _ in 0..10_000 {
        let mut lines = whole.clone();
        for _ in 0..=random.below(3) {
            let at = settings[random.below(settings.len() as u64) as usize];
            let (key, old) = whole[at].split_once(" = ").unwrap();
            let key = if random.below(20) == 0 { format!("{key}x") } else { key.to_owned() };
            lines[at] = format!("{key} = {}", random_value(&mut random, old));
        }
        std::fs::write(&path, lines.join("\n")).unwrap();
        let Err(e) = load(dir.path()) else {
            accepted += 1;
            continue;
        };
        let text = e.to_string();
        let after =
            text.split(&format!("{}:", path.display())).nth(1).unwrap_or_else(|| panic!("no line: {text}"));
        let digits = after.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        let number: usize = digits.parse().unwrap_or_else(|_| panic!("no line: {text}"));
        let line = &lines[number - 1];
        match e {
            ConfigError::Parse { .. } => {
                unread += 1;
                assert!(!whole.contains(line), "line {number} is as it was: {text}");
            }
            ConfigError::Invalid { message, .. } => {
                refused += 1;
                let named = message.split([':', ' ']).next().unwrap();
                let name = named.rsplit('.').next().unwrap();
                assert!(line.contains(name), "{name} does not stand in line {number}, {line:?}: {text}");
            }
            ConfigError::Read { .. } => panic!("{text}"),
        }
    }
    println!("{accepted} accepted, {unread} not of their type, {refused} out of bounds");
    assert!(accepted > 1_000 && unread > 2_000 && refused > 1_000);
}

/// A command's code, output and errors.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let out = Command::new(PROGRAM).args(arguments).envs(environment.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code().unwrap(), text(&out.stdout), text(&out.stderr))
}

/// A new directory is sound, and every layer says what it set.
#[test]
fn a_new_directory_is_configured_in_layers() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("d").display().to_string();
    let (code, text, errors) = run(&["init", "--dir", &here], &[]);
    assert!(code == 0 && text.contains("tickpath run --dir"), "{text}{errors}");
    let (code, _, errors) = run(&["init", "--dir", &here], &[]);
    assert!(code == 1 && errors.contains("nothing was changed"), "{errors}");
    std::fs::write(
        format!("{here}/.env"),
        "# comment\nexport MAX_OPEN_POSITIONS=5\nLOG_LEVEL=\"WARNING\"\nTICKPATH__RISK__COLLAR_BPS=70 # tight\nOTHER=x\n",
    )
    .unwrap();
    let environment = [("MAX_OPEN_POSITIONS", "6"), ("SIMULATION_INITIAL_CAPITAL", "10000.0")];
    let (code, text, errors) = run(&["config", "show", "--origins", "--dir", &here], &environment);
    assert_eq!(code, 0, "{errors}");
    let line =
        |key: &str| text.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap().to_owned();
    assert!(
        line("risk.positions_max").contains("= 6")
            && line("risk.positions_max").ends_with("# MAX_OPEN_POSITIONS")
    );
    assert!(
        line("risk.collar_bps").contains("= 70 ") && line("risk.collar_bps").ends_with(".env:4)"),
        "{text}"
    );
    assert!(line("control.log_level").contains("\"warn\"") && line("control.log_level").ends_with(".env:3)"));
    assert!(line("simulation.balance").contains("10000"));
    assert!(line("instrument[1].symbol").contains("config.toml:"), "{text}");
    assert!(line("risk.order_lots_max").ends_with("# default"));
    let (code, shown, _) = run(&["config", "show", "--dir", &here], &environment);
    assert!(code == 0 && toml::from_str::<Config>(&shown).is_ok_and(|config| config.risk.positions_max == 6));
    let (code, _, errors) = run(&["config", "check", "--dir", &here], &[("TRADING_MODE", "paper")]);
    assert!(
        code == 3 && errors.contains("TRADING_MODE: instance.mode: \"paper\" is not `simulation` or `live`"),
        "{errors}"
    );
    let (code, text, _) = run(&["config", "check", "--dir", &here], &[("SYMBOLS", "BTCUSDT, ETHUSDT")]);
    assert!(code == 0 && text.starts_with("sound: mode simulation"), "{text}");
    let (code, _, errors) = run(&["config", "check", "--dir", &here], &[("SYMBOLS", "BTCUSDT,BTCUSDT")]);
    assert!(
        code == 3 && errors.contains("SYMBOLS: instrument.symbol: \"BTCUSDT\" is configured twice"),
        "{errors}"
    );
    let files =
        [("TICKPATH__NOTIFY__URL_FILE", "nowhere"), ("TICKPATH__CONTROL__WEBHOOK_SECRET_FILE", "nothing")];
    let (code, _, errors) = run(&["config", "check", "--dir", &here], &files);
    assert!(code == 3 && errors.contains("d/nowhere: ") && errors.contains("d/nothing: "), "{errors}");
    let lost = [("TICKPATH__VENUE__API_SECRET_FILE", "/nowhere/secret")];
    let (code, _, errors) = run(&["config", "check", "--dir", &here], &lost);
    assert!(code == 3 && errors.contains("/nowhere/secret: "), "{errors}");
    let (code, text, _) = run(&["config", "schema"], &[]);
    assert!(
        code == 0
            && serde_json::from_str::<serde_json::Value>(&text).unwrap()["properties"]["risk"].is_object()
    );
}
