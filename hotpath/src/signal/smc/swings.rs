//! Swing highs and lows, which alternate: of several highs in a row the highest counts, of equal ones the first.

use super::history::History;
use serde::{Deserialize, Serialize};

/// The extreme of the bars around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Swing {
    /// Its bar.
    pub at: u64,
    /// A high; otherwise a low.
    pub is_high: bool,
    /// The bar's high or low.
    pub level: f64,
}

/// A new swing, and the one before it if that was of the same kind and less extreme.
#[derive(Clone, Copy, Debug)]
pub(super) struct SwingChange {
    pub(super) swing: Swing,
    pub(super) revoked: Option<Swing>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Swings {
    /// Bars after a swing with which it is known.
    n: u64,
    last: Option<Swing>,
}

impl Swings {
    pub(super) fn new(n: u64) -> Self {
        Self { n, last: None }
    }

    /// The newest bar is in the history.
    pub(super) fn on_bar(&mut self, history: &History) -> Option<SwingChange> {
        let found = self.candidate(history)?;
        let revoked = match self.last {
            Some(last) if last.is_high == found.is_high => {
                let is_further =
                    if found.is_high { found.level > last.level } else { found.level < last.level };
                if !is_further {
                    return None;
                }
                Some(last)
            }
            _ => None,
        };
        self.last = Some(found);
        Some(SwingChange { swing: found, revoked })
    }

    /// The bar that has become old enough, if it is the extreme of the `n - 1` before and the `n` after it.
    fn candidate(&self, history: &History) -> Option<Swing> {
        let (n, now) = (self.n, history.now());
        // The package's window wants as many bars before as after, whatever it then looks at.
        let at = now.checked_sub(n).filter(|&at| at >= 2 * n - 1)?;
        let bar = history.at(at);
        let around = || (at + 1 - n..=now).map(|i| history.at(i));
        if around().all(|other| other.high <= bar.high) {
            Some(Swing { at, is_high: true, level: bar.high })
        } else if around().all(|other| other.low >= bar.low) {
            Some(Swing { at, is_high: false, level: bar.low })
        } else {
            None
        }
    }

    pub(super) fn words(&self) -> impl Iterator<Item = u64> + use<> {
        let last = self.last.map_or([0; 2], |s| [s.at, s.level.to_bits()]);
        last.into_iter()
    }
}
