//! What a linter cannot see: edges between crates, names in their places, sizes of functions and files.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use tickpath_tests::root;

const CRATES: [&str; 6] = ["shared", "hotpath", "control", "tools", "benches", "tests"];

/// Source files of the workspace, without generated ones.
fn sources() -> Vec<PathBuf> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    CRATES.iter().for_each(|name| walk(&root().join(name), &mut out));
    assert!(out.len() > 80, "{} files", out.len());
    out
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.starts_with("benches/")
        || path.contains("/tests")
        || path.ends_with("tests.rs")
}

/// The code of a file without its unit tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

#[test]
fn crates_depend_only_as_designed() {
    let allowed: [(&str, &[&str]); 6] = [
        ("shared", &[]),
        ("hotpath", &["shared"]),
        ("control", &["shared"]),
        ("tools", &["shared", "hotpath", "control"]),
        ("benches", &["shared", "hotpath", "tools"]),
        ("tests", &["shared", "hotpath", "control", "tools"]),
    ];
    for (name, edges) in allowed {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let found: Vec<&str> = CRATES
            .into_iter()
            .filter(|other| {
                let forms = [format!("tickpath-{other}.workspace"), format!("tickpath-{other} =")];
                manifest.lines().any(|line| forms.iter().any(|form| line.starts_with(form)))
            })
            .collect();
        let mut edges = edges.to_vec();
        edges.sort_by_key(|e| CRATES.iter().position(|c| c == e));
        assert_eq!(found, edges, "{name}/Cargo.toml");
    }
}

#[test]
fn no_venue_is_named_outside_its_place() {
    for path in sources() {
        let name = relative(&path);
        let is_place = name.contains("/venue/") || is_test(&name) || name.ends_with("template.rs");
        if is_place {
            continue;
        }
        for (number, line) in code(&path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default().to_lowercase();
            assert!(!code.contains("binance"), "{name}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn shared_holds_no_venue_strategy_or_http() {
    for path in sources().iter().filter(|p| relative(p).starts_with("shared/")) {
        let text = code(path).to_lowercase();
        for word in ["binance", "tiny_http", "httparse", "websocket", "zscore"] {
            assert!(!text.contains(word), "{}: {word}", relative(path));
        }
    }
}

/// Lines of every function outside of tests.
fn function_lines() -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for path in sources().iter().filter(|p| !is_test(&relative(p))) {
        let text = code(path);
        let lines: Vec<&str> = text.lines().collect();
        let mut start: Option<(usize, String)> = None;
        for (i, line) in lines.iter().enumerate() {
            let indent = &line[..line.len() - line.trim_start().len()];
            let bare = line.trim_start();
            let head =
                bare.trim_start_matches("pub").trim_start_matches("(super)").trim_start_matches("(crate)");
            let head = head.trim_start().trim_start_matches("const ").trim_start_matches("unsafe ");
            if head.starts_with("fn ") && start.is_none() && !bare.ends_with(';') {
                start = Some((i, indent.to_owned()));
            }
            if let Some((at, of)) = &start
                && *line == format!("{of}}}")
            {
                found.push((i - at + 1, format!("{}:{}", relative(path), at + 1)));
                start = None;
            }
        }
    }
    found.sort();
    found
}

#[test]
fn functions_are_short() {
    let lines = function_lines();
    assert!(lines.len() > 600, "{} functions found", lines.len());
    let median = lines[lines.len() / 2].0;
    let longest = &lines[lines.len() - 5..];
    println!("{} functions, median {median} lines, longest {longest:?}", lines.len());
    assert!(median <= 15, "median {median}");
}

#[test]
fn files_are_short() {
    // Payloads of the journal are one table, read side by side.
    let excused = ["shared/src/record/payload.rs"];
    for path in sources() {
        let name = relative(&path);
        let lines = code(&path).lines().count();
        assert!(lines <= 600 || excused.contains(&name.as_str()), "{name}: {lines} lines");
    }
}

#[test]
fn every_file_says_what_it_owns() {
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        let is_test_module = relative(&path).ends_with("tests.rs");
        assert!(text.starts_with("//!") || is_test_module, "{} does not open with //!", relative(&path));
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let reasons = std::fs::read_to_string(root().join("DEPENDENCIES.md")).unwrap();
    for name in CRATES {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let mut section = "";
        let names = manifest.lines().filter_map(|line| {
            if line.starts_with('[') {
                section = line;
            }
            let name = line.split(['.', ' ', '=']).next()?;
            (section.ends_with("dependencies]") && !name.is_empty() && !line.starts_with('[')).then_some(name)
        });
        for dependency in names.filter(|d| !d.starts_with("tickpath-")) {
            assert!(
                reasons.contains(&format!("`{dependency}`")),
                "{name}: {dependency} is not in DEPENDENCIES.md"
            );
        }
    }
}

#[test]
fn record_kinds_are_drawn_in_the_architecture() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for kind in tickpath_shared::record::Kind::ALL {
        assert!(page.contains(&format!("`{}`", kind.label())), "{kind} is not in ARCHITECTURE.md");
    }
}

/// The default build: what `cargo run` compiles, without the tools of tests and benches.
#[test]
fn the_default_build_stays_small() {
    let out = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "-p",
            "tickpath-tools",
            "-e",
            "normal,build",
            "--prefix",
            "none",
            "--locked",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    let mut packages: Vec<&str> = text.lines().filter_map(|l| l.split(" (").next()).collect();
    packages.sort_unstable();
    packages.dedup();
    println!("{} packages", packages.len());
    assert!(packages.len() > 50 && packages.len() <= 170, "{} packages", packages.len());
}

/// What others wrote is what they published, to the last byte.
#[test]
fn vendored_files_are_as_published() {
    let expected = [
        ("uPlot.iife.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
        ("uPlot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
    ];
    let vendor = root().join("control/src/web/vendor");
    for (name, hash) in expected {
        let bytes = std::fs::read(vendor.join(name)).unwrap();
        let found: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(found, hash, "{name}");
    }
    assert_eq!(std::fs::read_dir(vendor).unwrap().count(), expected.len() + 1, "and its licence");
}
