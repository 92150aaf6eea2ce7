//! The `tickpath` command line: supervisor, demo, venue simulator, operator's verbs, offline tools.

pub mod capture;
mod cmd;
pub mod demo;
pub mod host;
pub mod latency;
pub mod offline;
pub mod settings;
pub mod supervisor;
pub mod template;
pub mod venue;

use clap::Parser;
use std::process::ExitCode;

/// Main function of the binary.
pub fn main() -> ExitCode {
    let arguments = match cmd::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    match cmd::run(arguments) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("tickpath: {e:#}");
            ExitCode::from(cmd::exit_code(&e))
        }
    }
}
