//! Python with packages that nobody here wrote.

use crate::{root, skipped};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::Mutex,
};

/// A Python with the packages of `tests/NAME/requirements.txt`, installed on first use.
///
/// # Panics
///
/// When it cannot be had and skipping is not allowed.
pub fn with_packages(name: &str) -> Option<PathBuf> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let output = Command::new(root().join("tests/python/venv.sh"))
        .arg(root().join("tests").join(name).join("requirements.txt"))
        .arg(root().join("target").join(name))
        .stderr(Stdio::piped())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        }
        Ok(output) => skipped(&format!("packages of {name}: {}", String::from_utf8_lossy(&output.stderr))),
        Err(e) => skipped(&format!("packages of {name}: {e}")),
    }
}
