//! The kill road: set the kill word, then cancel by REST with an own connection and keys until the venue
//! shows no open order. It needs nothing of the hot process.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tickpath_hotpath::{hot, venue::Rest};
use tickpath_shared::{command::CommandSender, config::Config, paths::DataDir};

/// How long the road is walked before it is given up until the next look.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct KillRoad<'a> {
    data: &'a DataDir,
    config: &'a Config,
}

impl<'a> KillRoad<'a> {
    pub(super) fn new(data: &'a DataDir, config: &'a Config) -> Self {
        Self { data, config }
    }

    /// Walks the road; returns a line for every step.
    pub(super) fn take(&self, why: &str) -> Vec<String> {
        let mut report = Vec::new();
        if let Err(e) = self.data.set_kill_latch(why) {
            report.push(format!("kill road: latch could not be stored: {e}"));
        }
        report.push(self.set_word());
        match self.open_rest() {
            Ok(rest) => report.extend(self.cancel_until_clear(&rest)),
            Err(e) => report.push(format!("kill road: no REST: {e}")),
        }
        report
    }

    fn set_word(&self) -> String {
        let current = self.data.current_session().ok().flatten();
        match current.map(|c| CommandSender::open(&c.shared_dir.join("command"))) {
            Some(Ok(command)) => {
                command.kill();
                "kill road: kill word set".to_owned()
            }
            Some(Err(e)) => format!("kill road: kill word not set: {e}"),
            None => "kill road: no session to set the kill word in".to_owned(),
        }
    }

    fn open_rest(&self) -> Result<Rest, hot::HotError> {
        let credentials = Arc::new(hot::load_credentials(self.config)?);
        hot::open_rest(self.config, &credentials).map(|(_, rest)| rest)
    }

    fn cancel_until_clear(&self, rest: &Rest) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut report = Vec::new();
        while Instant::now() < deadline {
            match self.cancel_once(rest) {
                Ok(0) => {
                    report.push("kill road: the venue shows no open order".to_owned());
                    return report;
                }
                Ok(open) => report.push(format!("kill road: {open} orders were open, cancels sent")),
                Err(e) => report.push(format!("kill road: {e}")),
            }
            std::thread::sleep(PAUSE);
        }
        report.push(format!("kill road: given up after {PATIENCE:?}"));
        report
    }

    /// Cancels every symbol; returns how many orders were open before.
    fn cancel_once(&self, rest: &Rest) -> Result<usize, tickpath_hotpath::venue::RestError> {
        let symbols: Vec<&str> = self.config.instrument.iter().map(|i| i.symbol.as_str()).collect();
        let definitions = rest.definitions(&symbols)?;
        let venue_ms = rest.server_time()?;
        let open = rest.open_orders(&definitions, venue_ms)?.len();
        if open > 0 {
            for symbol in symbols {
                rest.cancel_all(symbol, venue_ms)?;
            }
        }
        Ok(open)
    }
}
