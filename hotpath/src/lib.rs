//! The hot path: pinned threads that receive market data, decide and send orders, without allocation,
//! lock or stray system call once they run.

pub mod account;
pub mod book;
pub mod breaker;
pub mod digest;
pub mod guard;
pub mod hot;
pub mod live;
pub mod market;
pub mod message;
pub mod net;
pub mod order;
pub mod pages;
pub mod pipeline;
pub mod port;
pub mod risk;
pub mod session;
pub mod signal;
pub mod sim;
pub mod stage;
pub mod strategy;
pub mod venue;
pub mod wire;

use std::{path::PathBuf, process::ExitCode};
use tickpath_shared::{config, paths::DataDir};

/// Main function of the hot process with the strategies that come with it: runs on the data directory `dir` until a
/// signal, errors to stderr.
pub fn main_with_args(dir: Option<String>) -> ExitCode {
    main_with::<strategy::Shipped>(dir)
}

/// Main function of a hot process with strategies of your own; see `docs/strategies.md`.
pub fn main_with<S: strategy::Strategy>(dir: Option<String>) -> ExitCode {
    let Some(dir) = dir else {
        eprintln!("usage: tickpath-hot DIR");
        return ExitCode::from(2);
    };
    let data = match DataDir::open(&PathBuf::from(&dir)) {
        Ok(data) => data,
        Err(e) => {
            eprintln!("tickpath-hot: {dir}: {e}");
            return ExitCode::from(6);
        }
    };
    let config = match config::load(&data, config::environment()) {
        Ok(config) => config,
        Err(e) => {
            eprintln!("tickpath-hot: {e}");
            return ExitCode::from(3);
        }
    };
    match hot::run_until_signal::<S>(&data, &config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("tickpath-hot: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}
