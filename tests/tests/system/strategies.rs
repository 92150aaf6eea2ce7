//! Strategies over sockets: all that come with the program side by side, one of one's own, and the story of a session.

use crate::{PROGRAM, demo::demo};
use serde_json::Value;
use std::{path::PathBuf, process::Command};
use tickpath_control::fit::{garch, session};
use tickpath_shared::{journal::list_sessions, paths::DataDir};
use tickpath_tests::{recorded_pair, root, skipped};
use tickpath_tools::offline::{
    replay::{self, ReplayPlan},
    why::{self, WhyPlan},
};

/// The example strategy's hot process, which `cargo test --workspace` builds with the examples.
fn example() -> Option<PathBuf> {
    let path = std::env::current_exe().unwrap();
    let path = path.parent().and_then(|deps| deps.parent()).unwrap().join("examples/imbalance");
    if path.exists() {
        Some(path)
    } else {
        skipped("the example (cargo build --example imbalance -p tickpath-hotpath)")
    }
}

#[test]
fn a_strategy_of_ones_own_trades_and_leaves_reasons() {
    let Some(hot) = example() else { return };
    let dir = tempfile::tempdir().unwrap();
    let hot = hot.display().to_string();
    let environment = [("TICKPATH__PARAMETERS__SHARE", "0.7"), ("TICKPATH__PARAMETERS__STOP_TICKS", "20")];
    let found = demo(dir.path(), &["--duration", "8", "--seed", "5", "--hot", &hot], &environment);
    assert!(found["fills"].as_u64().unwrap() > 0, "{found}");
    let data = DataDir::open(dir.path()).unwrap();
    let story = why::tell(&data, &WhyPlan::default()).unwrap();
    let own = &story.strategies[0];
    assert!(own.strategy == "strategy 100" && own.left["below_entry"] > 100, "{own:?}");
    let report = replay::replay(&data, &ReplayPlan::default()).unwrap();
    assert!(!report.is_identical(), "other strategies cannot make its decisions: {report:?}");
}

/// Pairs on the recorded pair: what it traded, what came of it, and why it did not trade otherwise.
#[test]
fn pairs_on_the_recorded_pair_explain_themselves() {
    let Some(pair) = recorded_pair() else { return };
    let files = pair.map(|p| p.display().to_string());
    let dir = tempfile::tempdir().unwrap();
    let found = demo(dir.path(), &["--speed", "max", "--capture", &files[0], &files[1]], &[]);
    let data = DataDir::open(dir.path()).unwrap();
    let story = why::tell(&data, &WhyPlan::default()).unwrap();
    let pairs = story.strategies.iter().find(|s| s.strategy == "pairs").unwrap();
    println!("{}P&L with what is open: {}", why::summary(pairs), found["pnl"]);
    assert_eq!(pairs.intents, found["counters"]["intents"].as_u64().unwrap());
    assert_eq!(pairs.fills, found["fills"].as_u64().unwrap());
    assert!(pairs.fills > 20 && pairs.left["below_entry"] > 100, "{pairs:?}");
    // The noise is learned from sixty samples, and anew when eight outliers came in a row or samples were missing: which
    // samples there are at full pace depends on how soon the machine answers.
    let left = |reason: &str| pairs.left.get(reason).copied().unwrap_or(0);
    let (warming, relearned, missing) = (left("warming_up"), left("outlier") / 8, left("samples_missing"));
    assert!((60..=60 * (1 + relearned) + 59 * missing).contains(&warming), "{pairs:?}");
    assert!(missing > 0 || warming.is_multiple_of(60), "{pairs:?}");
    // Every sample is an opportunity: it is traded on, told as left, or a position is held meanwhile.
    let told: u64 = pairs.left.values().sum();
    assert!(story.lines.len() > 50 && told > 500, "{told} of {} lines", story.lines.len());
    let run = |arguments: &[&str]| {
        let text = dir.path().display().to_string();
        let out = Command::new(PROGRAM).args(["why", "--dir", &text]).args(arguments).output().unwrap();
        (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let (is_well, text) = run(&["--strategy", "pairs", "--to", "1"]);
    assert!(is_well && text.contains("pairs       ETHUSDT left") && !text.contains("state       "), "{text}");
    let (_, json) = run(&["--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["strategies"][0]["intents"].as_u64(), Some(pairs.intents));
    assert!(!run(&["--strategy", "hope"]).0);
}

/// Votes on one instrument, quotes on the other, each with its own position; the session replays.
#[test]
fn several_strategies_run_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let environment = [
        ("TICKPATH__PAIRS__IS_ENABLED", "false"),
        ("TICKPATH__TA_COMBO__IS_ENABLED", "true"),
        ("TICKPATH__TA_COMBO__SYMBOL", "ETHUSDT"),
        ("TICKPATH__TA_COMBO__BAR_MS", "250"),
        ("TICKPATH__TA_COMBO__VOTES", "2"),
        ("TICKPATH__TA_COMBO__TRADE__QTY_MAX", "0.200"),
        ("TICKPATH__MARKET_MAKER__IS_ENABLED", "true"),
        ("TICKPATH__MARKET_MAKER__SYMBOL", "BTCUSDT"),
        ("TICKPATH__MARKET_MAKER__K", "5.0"),
        ("TICKPATH__MARKET_MAKER__SIGMA", "1.0"),
        ("TICKPATH__MARKET_MAKER__A", "1.0"),
    ];
    let found = demo(dir.path(), &["--duration", "25", "--seed", "9"], &environment);
    let data = DataDir::open(dir.path()).unwrap();
    let story = why::tell(&data, &WhyPlan::default()).unwrap();
    let names: Vec<_> = story.strategies.iter().map(|s| (s.strategy.as_str(), s.fills)).collect();
    println!("{names:?}, P&L {}", found["pnl"]);
    assert!(names.len() == 2 && names.iter().all(|(_, fills)| *fills > 0), "{names:?}");
    let report = replay::replay(&data, &ReplayPlan::default()).unwrap();
    assert!(report.is_identical() && report.orders_replayed > 10, "{report:?}");
}

/// The table of reasons in the documentation is the one of the program.
#[test]
fn the_documented_reasons_are_those_of_the_program() {
    let table = why::reasons();
    let path = root().join("docs/reasons.md");
    if std::env::var_os("TICKPATH_WRITE_DOCS").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == table, "docs/reasons.md is old: TICKPATH_WRITE_DOCS=1 cargo test documented_reasons");
}

/// The recorded pair leaves errors that the volatility model is fitted to; the weights are those of a model that
/// comes back.
#[test]
fn a_session_is_what_the_volatility_model_is_fitted_to() {
    let Some(pair) = recorded_pair() else { return };
    let files = pair.map(|p| p.display().to_string());
    let dir = tempfile::tempdir().unwrap();
    let environment = [("TICKPATH__PAIRS__WINDOW", "20"), ("TICKPATH__PAIRS__SAMPLE_MS", "20")];
    demo(dir.path(), &["--capture", &files[0], &files[1], "--speed", "20"], &environment);
    let data = DataDir::open(dir.path()).unwrap();
    let newest = *list_sessions(&data).unwrap().last().unwrap();
    let samples = session::innovations(&data, newest, 1_000_000).unwrap();
    assert!(samples.len() > 500, "{}", samples.len());
    let last = session::innovations(&data, newest, 300).unwrap();
    assert_eq!(last, samples[samples.len() - 300..]);
    let out =
        Command::new(PROGRAM).args(["fit", "--dir", &dir.path().display().to_string()]).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    println!("{text}{errors}");
    match garch::fit(&samples[samples.len().saturating_sub(10_000)..]) {
        Ok(fit) => {
            assert!(out.status.success() && text.contains(&format!("garch_alpha = {}", fit.alpha)), "{text}");
            assert!(fit.alpha > 0.0 && fit.alpha + fit.beta < 1.0);
        }
        // Nothing at a boundary is handed out.
        Err(why) => assert!(!out.status.success() && errors.contains(&why.to_string()), "{errors}"),
    }
}
