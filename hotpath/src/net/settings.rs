//! What is asked of the system, and what became of it: every setting is taken, refused with the reason, or was not
//! asked for. Nothing of it changes what is computed, only when.

use std::{fmt, io};
use tickpath_shared::record::Severity;

/// What became of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In force.
    Taken,
    /// The system said no, and why.
    Refused(String),
    /// The configuration does not want it.
    NotAsked,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it is, with its value.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

impl Setting {
    /// Asks for something if `is_wanted`.
    pub fn ask<E: fmt::Display>(
        name: impl Into<String>,
        is_wanted: bool,
        ask: impl FnOnce() -> Result<(), E>,
    ) -> Self {
        let outcome = match is_wanted {
            false => Outcome::NotAsked,
            true => match ask() {
                Ok(()) => Outcome::Taken,
                Err(e) => Outcome::Refused(e.to_string()),
            },
        };
        Self { name: name.into(), outcome }
    }

    /// True when it was wanted and is not in force.
    pub fn is_refused(&self) -> bool {
        matches!(self.outcome, Outcome::Refused(_))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Taken => write!(f, "{} taken", self.name),
            Outcome::Refused(why) => write!(f, "{} refused ({why})", self.name),
            Outcome::NotAsked => write!(f, "{} not asked for", self.name),
        }
    }
}

/// How loud settings are reported: a refusal is for people to look at.
pub fn severity(settings: &[Setting]) -> Severity {
    if settings.iter().any(Setting::is_refused) { Severity::Warning } else { Severity::Info }
}

/// Settings in one line.
pub fn line(settings: &[Setting]) -> String {
    settings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The error of a call that returns 0 for success.
pub(super) fn check(returned: i32) -> io::Result<()> {
    if returned == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_words() {
        let all = [
            Setting::ask("a", true, || Ok::<_, String>(())),
            Setting::ask("b", true, || Err("no room")),
            Setting::ask("c", false, || Err("never called")),
        ];
        assert_eq!(line(&all), "a taken, b refused (no room), c not asked for");
        assert_eq!(all.map(|s| s.is_refused()), [false, true, false]);
    }
}
