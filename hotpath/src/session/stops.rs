//! Stops outlive the process: what a person stopped stays stopped until a person arms it again.

use super::Session;
use serde::{Deserialize, Serialize};
use std::{io::ErrorKind, path::PathBuf};
use tickpath_shared::{
    command::{CommandOutcome, Scope, Verb},
    paths::{DataDir, replace_file},
    record::{CommandRecord, EventCode, Kind, Severity},
};
use zerocopy::IntoBytes;

/// A stop as it is stored: instruments by symbol, since their order may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Account,
    Strategy(u16),
    Symbol(String),
}

/// What is stopped, and what of it is to be flat.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Stopped {
    stops: Vec<Stored>,
    flat: Vec<Stored>,
}

/// The file.
pub(super) struct StopFile {
    path: PathBuf,
    stopped: Stopped,
    /// Arming that has not been answered: a refused one releases nothing.
    arming: Vec<(u64, Stored)>,
    /// Stops that have not been answered, and in which lists they are new: one of what nobody knows stops nothing.
    stopping: Vec<(u64, Stored, [bool; 2])>,
}

impl StopFile {
    pub(super) fn new(data: &DataDir) -> Self {
        Self {
            path: data.run().join("stops.json"),
            stopped: Stopped::default(),
            arming: Vec::new(),
            stopping: Vec::new(),
        }
    }

    fn load(&mut self) -> Result<(), String> {
        match std::fs::read(&self.path) {
            Ok(bytes) => {
                self.stopped =
                    serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", self.path.display()))?;
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(format!("{}: {e}", self.path.display())),
        }
    }

    /// Before the answer: what is said to be stopped is so after a crash, too.
    fn store(&self) -> std::io::Result<()> {
        replace_file(&self.path, &serde_json::to_vec(&self.stopped).map_err(std::io::Error::other)?)
    }
}

impl Session {
    /// Tells the gateway what was stopped before the start. What cannot be read stops everything.
    pub(super) fn stop_again(&mut self) {
        if let Err(why) = self.stops.load() {
            let text = format!("what was stopped is not known, so the account is: {why}");
            self.event(EventCode::Warning, Severity::Error, &text);
            self.stops.stopped.stops = vec![Stored::Account];
        }
        let Stopped { stops, flat } = self.stops.stopped.clone();
        stops.iter().for_each(|stored| self.tell_stop(Verb::StopOpening, stored));
        flat.iter().for_each(|stored| self.tell_stop(Verb::Flatten, stored));
    }

    /// Something that must be known is not: a person has to arm again.
    pub(super) fn stop_account(&mut self) {
        if !self.stops.stopped.stops.contains(&Stored::Account) {
            self.stops.stopped.stops.push(Stored::Account);
            self.store_stops();
        }
        self.tell_stop(Verb::StopOpening, &Stored::Account);
    }

    fn tell_stop(&mut self, verb: Verb, stored: &Stored) {
        let scope = match stored {
            Stored::Account => Scope::Account,
            Stored::Strategy(number) => Scope::Strategy(*number),
            Stored::Symbol(symbol) => {
                let definitions = &self.parts.shop.definitions;
                match definitions.iter().find(|d| d.symbol.as_str() == symbol) {
                    Some(definition) => Scope::Instrument(definition.instrument as u16),
                    None => return,
                }
            }
        };
        let (scope, target) = scope.parts();
        let record = CommandRecord { scope, target, ..CommandRecord::of(0, verb) };
        self.tell_gateway(Kind::Command, record.as_bytes());
        self.event(
            EventCode::Warning,
            Severity::Warning,
            &format!("{verb} since before the start: {stored:?}"),
        );
    }

    /// Remembers a stop that the gateway was told of, and what an arming would release.
    pub(super) fn keep_stop(&mut self, id: u64, verb: Verb, scope: Scope) {
        let stored = match scope {
            Scope::Account => Stored::Account,
            Scope::Strategy(number) => Stored::Strategy(number),
            Scope::Instrument(index) => match self.parts.shop.definitions.get(usize::from(index)) {
                Some(definition) => Stored::Symbol(definition.symbol.as_str().to_owned()),
                // The gateway refuses it.
                None => return,
            },
        };
        let stopped = &mut self.stops.stopped;
        match verb {
            Verb::StopOpening | Verb::Flatten => {
                // It comes after whatever is being armed.
                self.stops.arming.clear();
                let is_wanted = [true, verb == Verb::Flatten];
                let mut is_new = [false; 2];
                for (at, list) in [&mut stopped.stops, &mut stopped.flat].into_iter().enumerate() {
                    is_new[at] = is_wanted[at] && !list.contains(&stored);
                    list.extend(is_new[at].then(|| stored.clone()));
                }
                self.stops.stopping.push((id, stored, is_new));
                self.store_stops();
            }
            Verb::Arm => self.stops.arming.push((id, stored)),
            Verb::Disarm => self.forget_flat(),
            _ => {}
        }
    }

    /// What was being closed is not closed any more, after a start neither; what was stopped stays stopped.
    pub(super) fn forget_flat(&mut self) {
        if !self.stops.stopped.flat.is_empty() {
            self.stops.stopped.flat.clear();
            self.store_stops();
        }
    }

    /// The gateway has stopped an instrument by itself.
    pub(super) fn keep_stopped(&mut self, symbol: &str) {
        let stored = Stored::Symbol(symbol.to_owned());
        // It comes after whatever is being armed.
        self.stops.arming.clear();
        if !self.stops.stopped.stops.contains(&stored) {
            self.stops.stopped.stops.push(stored);
            self.store_stops();
        }
    }

    /// A stop was answered: the gateway knows no such scope, stops it but closes nothing, or has taken it.
    pub(super) fn on_stopped(&mut self, id: u64, outcome: u16) {
        let Some(at) = self.stops.stopping.iter().position(|(of, ..)| *of == id) else { return };
        let (_, stored, mut is_new) = self.stops.stopping.swap_remove(at);
        match CommandOutcome::from_repr(outcome) {
            Some(CommandOutcome::UnknownScope) => {}
            Some(CommandOutcome::RefusedKilled | CommandOutcome::RefusedHalted) => is_new[0] = false,
            _ => return,
        }
        let stopped = &mut self.stops.stopped;
        for (list, _) in
            [&mut stopped.stops, &mut stopped.flat].into_iter().zip(is_new).filter(|(_, new)| *new)
        {
            list.retain(|other| *other != stored);
        }
        self.store_stops();
    }

    /// An arming was answered.
    pub(super) fn on_armed(&mut self, id: u64, is_done: bool) {
        let Some(at) = self.stops.arming.iter().position(|(of, _)| *of == id) else { return };
        let (_, stored) = self.stops.arming.swap_remove(at);
        if !is_done {
            return;
        }
        for list in [&mut self.stops.stopped.stops, &mut self.stops.stopped.flat] {
            list.retain(|other| stored != Stored::Account && *other != stored);
        }
        self.store_stops();
    }

    fn store_stops(&mut self) {
        if let Err(e) = self.stops.store() {
            let text = format!("what is stopped is not stored: {e}");
            self.event(EventCode::Warning, Severity::Error, &text);
        }
    }
}
