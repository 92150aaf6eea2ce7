//! Chances of an unreliable network, from a seed.

/// Probabilities a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    /// An answer never comes.
    pub lost: f64,
    /// An answer comes after the gateway has given it up.
    pub late: f64,
    /// An answer comes after the fill it announces.
    pub behind: f64,
    /// A fill is told twice.
    pub double: f64,
    /// The event of a fill never comes, although the stream stays up.
    pub missed: f64,
    /// The venue answers that it does not know the outcome.
    pub timeout: f64,
    /// The venue refuses an order that opens something, for want of margin.
    pub reject: f64,
    /// A REST answer is lost, no JSON, or cut.
    pub rest_failure: f64,
    /// Mean seconds between two cuts of a private connection, 0 for none.
    pub cut_every_s: u64,
    /// Probability that an order is changed or canceled by the engine when another one is wanted.
    pub change: f64,
    /// Mean milliseconds between two orders of somebody else on the account, 0 for none.
    pub foreign_every_ms: u64,
    /// Mean milliseconds between two settings of the kill word, 0 for none.
    pub kill_every_ms: u64,
    /// Longest pause between two decisions, milliseconds, 0 for the usual 40.
    pub pause_ms: u64,
    /// Distance of the stops that rest at the venue, basis points, 0 for none.
    pub resting_stop_bps: i64,
}
