//! Signals against the packages that everybody uses, over recorded bars.

mod prefixes;
mod series;
mod smart_money;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};
use tickpath_hotpath::signal::Bar;
use tickpath_tests::{data_dir, need, python::with_packages, root};

/// Relative error that rounding may make.
const ROUNDING: f64 = 1e-9;
/// Values below this are compared absolutely.
const FLOOR: f64 = 1e-3;

/// A table: its columns by name, empty cells as `NaN`.
struct Table {
    columns: HashMap<String, usize>,
    rows: Vec<Vec<f64>>,
}

impl Table {
    fn read(dir: &Path, name: &str) -> Self {
        let text = std::fs::read_to_string(dir.join(name)).unwrap();
        let mut lines = text.lines();
        let header = lines.next().unwrap().split(',').enumerate();
        let columns = header.map(|(i, name)| (name.to_owned(), i)).collect();
        let cell = |cell: &str| if cell.is_empty() { f64::NAN } else { cell.parse().unwrap() };
        let rows = lines.map(|line| line.split(',').map(cell).collect()).collect();
        Self { columns, rows }
    }

    fn column(&self, name: &str) -> Vec<f64> {
        let at = self.columns[name];
        self.rows.iter().map(|row| row[at]).collect()
    }

    fn bars(&self) -> Vec<Bar> {
        let [open, high, low, close, volume] =
            ["open", "high", "low", "close", "volume"].map(|name| self.columns[name]);
        let bar = |row: &Vec<f64>| Bar {
            open: row[open],
            high: row[high],
            low: row[low],
            close: row[close],
            volume: row[volume],
            ..Bar::default()
        };
        self.rows.iter().map(bar).collect()
    }
}

/// What the packages found, computed once.
fn references() -> Option<&'static Path> {
    static DIR: OnceLock<Option<PathBuf>> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        need("bars/bybit-linear_btcusdt_1m_2025-05-30_2025-06-29.csv.gz")?;
        let python = with_packages("references")?;
        let dir = root().join("target/references/found");
        std::fs::create_dir_all(&dir).unwrap();
        let output = Command::new(python)
            .arg(root().join("tests/references/reference.py"))
            .args([data_dir(), dir.clone()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(dir)
    });
    dir.as_deref()
}

/// Largest error of a series relative to its values, smaller ones than `floor` counting as that, and how many values
/// it has; both must have their values at the same places.
fn largest_error(name: &str, found: &[Option<f64>], expected: &[f64], floor: f64) -> (f64, usize) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let mut largest = (0.0_f64, 0);
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.is_none(), expected.is_nan(), "{name}, value {i}: {found:?} and {expected}");
        let Some(found) = found else { continue };
        let error = (found - expected).abs() / expected.abs().max(floor);
        assert!(error.is_finite(), "{name}, value {i}: {found} and {expected}");
        largest = (largest.0.max(error), largest.1 + 1);
    }
    assert!(largest.1 > 0, "{name}: nothing to compare");
    largest
}

/// The same, with the figures shown and a bound kept.
fn agree(name: &str, found: &[Option<f64>], expected: &[f64], floor: f64) {
    let (error, count) = largest_error(name, found, expected, floor);
    println!("{name}: {count} values, largest relative error {error:.1e}");
    assert!(error <= ROUNDING, "{name}: {error:e} is more than {ROUNDING:e}");
}
