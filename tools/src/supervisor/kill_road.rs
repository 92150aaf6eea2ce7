//! The kill road: set the kill word, then cancel by REST with an own connection and keys until the venue
//! shows no open order. It needs nothing of the hot process.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tickpath_hotpath::{hot, venue::Rest};
use tickpath_shared::{command::CommandSender, config::Config, paths::DataDir};

const CLEAR: &str = "kill road: the venue shows no open order";
/// How long the road is walked at once.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// How far it led.
pub(super) struct Walk {
    /// A line for every step.
    pub(super) report: Vec<String>,
    /// The venue shows no open order.
    pub(super) is_clear: bool,
}

pub(super) struct KillRoad<'a> {
    data: &'a DataDir,
    config: &'a Config,
}

impl<'a> KillRoad<'a> {
    pub(super) fn new(data: &'a DataDir, config: &'a Config) -> Self {
        Self { data, config }
    }

    /// Walks the road.
    pub(super) fn take(&self, why: &str) -> Walk {
        let mut report = Vec::new();
        if let Err(e) = self.data.set_kill_latch(why) {
            report.push(format!("kill road: latch could not be stored: {e}"));
        }
        report.push(self.set_word());
        let mut walk = Walk { report, is_clear: false };
        match self.open_rest() {
            Ok(rest) => self.cancel_until_clear(&rest, &mut walk),
            Err(e) => walk.report.push(format!("kill road: no REST: {e}")),
        }
        walk
    }

    /// One more attempt of a road that was given up.
    pub(super) fn go_on(&self) -> Walk {
        let tried = self.open_rest().map_err(|e| e.to_string());
        let line = match tried.and_then(|rest| self.cancel_once(&rest).map_err(|e| e.to_string())) {
            Ok(0) => return Walk { report: vec![CLEAR.to_owned()], is_clear: true },
            Ok(open) => format!("kill road: {open} orders were open, cancels sent"),
            Err(e) => format!("kill road: {e}"),
        };
        Walk { report: vec![line], is_clear: false }
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

    fn cancel_until_clear(&self, rest: &Rest, walk: &mut Walk) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.cancel_once(rest) {
                Ok(0) => {
                    walk.is_clear = true;
                    return walk.report.push(CLEAR.to_owned());
                }
                Ok(open) => walk.report.push(format!("kill road: {open} orders were open, cancels sent")),
                Err(e) => walk.report.push(format!("kill road: {e}")),
            }
            std::thread::sleep(PAUSE);
        }
        walk.report.push(format!("kill road: given up after {PATIENCE:?}"));
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
