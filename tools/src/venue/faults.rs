//! Seeded damage to the market data on its way to the clients: lines dropped, repeated, swapped, or of an
//! irregular shape. The simulator's own book never sees it.

use crate::capture::MarketLine;

/// Probabilities a line, and the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Line is lost.
    pub drop: f64,
    /// Line comes twice.
    pub repeat: f64,
    /// Line changes places with the next one.
    pub swap: f64,
    /// Line gets blanks that the fast decoder does not expect.
    pub irregular: f64,
    /// Seed.
    pub seed: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Lines lost.
    pub dropped: u64,
    /// Lines repeated.
    pub repeated: u64,
    /// Pairs swapped.
    pub swapped: u64,
    /// Lines made irregular.
    pub irregular: u64,
}

/// Applies [`Faults`] to a sequence of lines.
#[derive(Clone, Debug, Default)]
pub struct FaultInjector {
    faults: Faults,
    state: u64,
    held: Option<MarketLine>,
    /// What was done so far.
    pub counts: FaultCounts,
}

impl FaultInjector {
    /// An injector at the start of its seed.
    pub fn new(faults: Faults) -> Self {
        Self {
            faults,
            state: faults.seed ^ 0x9e37_79b9_7f4a_7c15,
            held: None,
            counts: FaultCounts::default(),
        }
    }

    fn unit(&mut self) -> f64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Passes a line on, damaged or not, in the order in which it is to be sent.
    pub fn pass(&mut self, mut line: MarketLine, send: &mut dyn FnMut(MarketLine)) {
        let Faults { drop, repeat, swap, irregular, .. } = self.faults;
        if drop + repeat + swap + irregular == 0.0 {
            send(line);
            return;
        }
        let draw = self.unit();
        if draw < drop {
            self.counts.dropped += 1;
            return;
        }
        if self.unit() < irregular {
            self.counts.irregular += 1;
            line.text = line.text.replacen("\"data\":{", "\"data\": {", 1);
        }
        if draw < drop + swap && self.held.is_none() {
            self.counts.swapped += 1;
            self.held = Some(line);
            return;
        }
        if draw < drop + swap + repeat {
            self.counts.repeated += 1;
            send(line.clone());
        }
        send(line);
        if let Some(held) = self.held.take() {
            send(held);
        }
    }
}
