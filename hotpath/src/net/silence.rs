//! How long a connection has been silent. A peer that is gone without a word, or that keeps a connection open and
//! sends nothing, is noticed by this alone.

use tickpath_shared::Nanos;

/// Looks at a connection in the time that it may be silent.
const PROBES: u64 = 4;

/// What a silent connection needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// Ask the peer for a sign of life.
    Probe,
    /// It has been silent for too long.
    End,
}

/// A watch over one connection; a limit of 0 watches nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    limit_ns: Nanos,
    heard_ns: Nanos,
    probed_ns: Nanos,
}

impl Silence {
    /// A watch that begins at `now`.
    pub fn new(limit_ns: Nanos, now: Nanos) -> Self {
        Self { limit_ns, heard_ns: now, probed_ns: now }
    }

    /// The connection was heard.
    #[inline]
    pub fn heard(&mut self, now: Nanos) {
        self.heard_ns = now;
    }

    /// What the connection needs at `now`; a probe is due once in a quarter of the limit.
    pub fn need(&mut self, now: Nanos) -> Need {
        let silent_ns = now.saturating_sub(self.heard_ns);
        if self.limit_ns == 0 {
            return Need::Nothing;
        }
        if silent_ns > self.limit_ns {
            return Need::End;
        }
        let pause_ns = self.limit_ns / PROBES;
        if silent_ns > pause_ns && now.saturating_sub(self.probed_ns) > pause_ns {
            self.probed_ns = now;
            return Need::Probe;
        }
        Need::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_connection_is_probed_and_then_ended() {
        let mut silence = Silence::new(8_000, 100);
        assert_eq!(silence.need(2_000), Need::Nothing);
        assert_eq!(silence.need(2_200), Need::Probe);
        assert_eq!(silence.need(2_300), Need::Nothing, "one probe at a time");
        silence.heard(2_400);
        assert_eq!((silence.need(4_300), silence.need(4_500)), (Need::Nothing, Need::Probe));
        assert_eq!(silence.need(10_400), Need::Probe);
        assert_eq!(silence.need(10_401), Need::End);
        assert_eq!(Silence::new(0, 0).need(u64::MAX), Need::Nothing);
    }
}
