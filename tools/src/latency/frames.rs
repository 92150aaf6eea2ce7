//! Frames to measure on, as a server would send them: a capture in its order of arrival, or the synthetic market.

use crate::{
    capture::{CaptureReader, MarketLine, MarketSource, SyntheticMarket},
    venue::script,
};
use anyhow::Result;
use std::{hint::black_box, path::PathBuf};

/// Frames of the synthetic market when no capture is given.
const SYNTHETIC_FRAMES: usize = 60_000;
const SYNTHETIC_SEED: u64 = 1;
/// The symbol whose ticks are answered.
pub(super) const MARKED: &str = "BTCUSDT";
/// Unix milliseconds at which the synthetic market starts: the same frames on every run.
const SYNTHETIC_START_MS: u64 = 1_723_161_256_000;

/// Frames one after another, as bytes on the wire, and the book they start from.
pub(super) struct Frames {
    wire: Vec<u8>,
    ends: Vec<usize>,
    /// Symbol, body, and the number of frames before it.
    snapshots: Vec<(String, String, usize)>,
    /// A mark price near the first best prices: without one no order passes.
    mark: Option<String>,
    /// Where they come from, for people.
    pub(super) source: String,
}

impl Frames {
    /// Ticks of one symbol (best prices and diffs), or of all symbols when it is empty.
    ///
    /// # Errors
    ///
    /// A capture that cannot be read.
    pub(super) fn load(captures: &[PathBuf], symbol: &str) -> Result<Self> {
        if captures.is_empty() {
            let mut market = SyntheticMarket::new(SYNTHETIC_SEED, SYNTHETIC_START_MS);
            let source = format!("synthetic market, seed {SYNTHETIC_SEED}");
            return Self::read(&mut market, symbol, SYNTHETIC_FRAMES, source);
        }
        let names: Vec<String> = captures
            .iter()
            .map(|p| p.file_name().unwrap_or_default().to_string_lossy().into_owned())
            .collect();
        Self::read(&mut CaptureReader::open(captures)?, symbol, usize::MAX, names.join(", "))
    }

    /// The scripted market, whose every frame is answered.
    pub(super) fn scripted(count: u64) -> Self {
        let mut frames = Self {
            wire: Vec::new(),
            ends: Vec::new(),
            snapshots: vec![(MARKED.to_owned(), script::snapshot(0), 0)],
            mark: Some(script::mark(&script::price_of(0), 1)),
            source: "scripted market".to_owned(),
        };
        (0..count).for_each(|number| frames.push(&script::diff(number, number)));
        frames
    }

    fn read(source: &mut dyn MarketSource, symbol: &str, frames_max: usize, name: String) -> Result<Self> {
        let mut frames =
            Self { wire: Vec::new(), ends: Vec::new(), snapshots: Vec::new(), mark: None, source: name };
        while frames.len() < frames_max
            && let Some(line) = source.next_line()?
        {
            if symbol.is_empty() || line.symbol == symbol {
                frames.take(line, symbol.is_empty());
            }
        }
        Ok(frames)
    }

    fn take(&mut self, line: MarketLine, has_trades: bool) {
        if line.is_snapshot() {
            self.snapshots.push((line.symbol, line.text, self.ends.len()));
        } else if has_trades || line.stream.contains("@depth") || line.stream.ends_with("@bookTicker") {
            if self.mark.is_none() && line.symbol == MARKED && line.stream.ends_with("@bookTicker") {
                self.mark = script::bid_of(&line.text).map(|bid| script::mark(bid, line.time_ns / 1_000_000));
            }
            self.push(&line.text);
        }
    }

    fn push(&mut self, text: &str) {
        self.wire.extend_from_slice(&server_frame(text));
        self.ends.push(self.wire.len());
    }

    /// A frame with a mark price that fits the rest.
    pub(super) fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All bytes.
    pub(super) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// Bytes up to the end of a frame.
    pub(super) fn end(&self, frame: usize) -> usize {
        self.ends[frame]
    }

    /// Reads a frame's bytes, so that they are near, as those that just arrived are: the kernel has copied them.
    pub(super) fn touch(&self, frame: usize) {
        const LINE: usize = 64;
        let start = frame.checked_sub(1).map_or(0, |before| self.end(before));
        let bytes = &self.wire[start..self.end(frame)];
        // The last one may lie in a line of its own.
        bytes.iter().step_by(LINE).chain(bytes.last()).for_each(|byte| _ = black_box(*byte));
    }

    /// The first frame after this one that a book arrives before.
    pub(super) fn next_snapshot(&self, frame: usize) -> Option<usize> {
        self.snapshots.iter().map(|s| s.2).filter(|at| *at > frame && *at < self.len()).min()
    }

    /// Books that arrive just before a frame.
    pub(super) fn snapshots_before(&self, frame: usize) -> impl Iterator<Item = (&str, &str)> {
        self.snapshots.iter().filter(move |s| s.2 == frame).map(|s| (s.0.as_str(), s.1.as_str()))
    }
}

/// A text frame as a server sends it: not masked.
pub fn server_frame(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81];
    match text.len() {
        len @ 0..=125 => bytes.push(len as u8),
        len @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(text.as_bytes());
    bytes
}
