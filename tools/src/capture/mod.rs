//! Market data for the simulator and the offline tools: recorded captures, or a seeded synthetic market.

mod reader;
mod synthetic;

pub use reader::{CaptureError, CaptureReader};
pub use synthetic::SyntheticMarket;

/// One line of a market: a frame of a stream, or a book snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketLine {
    /// Time of arrival at the recorder, nanoseconds.
    pub time_ns: u64,
    /// Name of the stream; empty for a snapshot.
    pub stream: String,
    /// Symbol, upper case.
    pub symbol: String,
    /// The text: a combined frame, or the snapshot's body.
    pub text: String,
}

impl MarketLine {
    /// A full book instead of a frame.
    pub fn is_snapshot(&self) -> bool {
        self.stream.is_empty()
    }
}

/// A source of lines in order of time.
pub trait MarketSource: Send {
    /// The next line; `None` at the end, or while there is none yet.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] for a line that is not what a capture holds.
    fn next_line(&mut self) -> Result<Option<MarketLine>, CaptureError>;

    /// Lines come while they happen: none now is no end.
    fn is_live(&self) -> bool {
        false
    }
}
