//! Log lines of the control process: JSON, one a line, to stderr.

use tracing_subscriber::fmt;

/// Installs the logger; a second call changes nothing.
pub(crate) fn init() {
    let _ = fmt().json().with_max_level(tracing::Level::INFO).with_writer(std::io::stderr).try_init();
}
