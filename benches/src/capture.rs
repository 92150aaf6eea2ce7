//! Frames to measure on: the recorded capture where it is, a few genuine frames otherwise.

#![expect(unsafe_code, reason = "a prefetch has no safe interface")]

use flate2::read::GzDecoder;
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};
use tickpath_shared::types::{Grid, InstrumentDefinition, Symbol};

/// Genuine frames, Binance USD-M, 2024-08-08, the depth frame cut.
pub const SAMPLES: [&str; 3] = [
    r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}}"#,
    r#"{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT","U":5123107832006,"u":5123107837557,"pu":5123107831937,"b":[["58710.20","0.014"],["61496.50","0.010"],["61510.90","0.000"],["61641.50","1.211"],["61652.80","0.195"],["61653.30","0.072"],["61653.70","0.067"]],"a":[["61657.90","0.067"],["61668.50","0.086"],["61670.60","0.161"],["61672.50","0.821"],["61673.50","0.021"],["61674.50","0.221"],["61675.50","1.821"]]}}"#,
    r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}"#,
];

/// A genuine aggregated trade in the form of 2026.
pub const AGG_TRADE: &str = r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1785048482872,"a":300238285,"s":"BTCUSDT","p":"64346.70","q":"0.020","nq":"0.020","f":521512568,"l":521512568,"T":1785048482718,"m":false,"st":1}}"#;

/// Frames in order of arrival, in one buffer as they would lie in a receive buffer.
pub struct Frames {
    text: String,
    ends: Vec<usize>,
    /// Body of the book snapshot, where there is one.
    pub snapshot: Option<String>,
    /// Recorded, as opposed to samples.
    pub is_recorded: bool,
}

impl Frames {
    /// The recorded Bitcoin file of 2024-08-08, or the samples repeated.
    pub fn load() -> Self {
        let name = "binance-usdm/btcusdt_depth0ms-bookTicker-trade+snapshot_2024-08-08T2354Z.txt.gz";
        let path = data_dir().join(name);
        if let Ok(file) = File::open(&path) {
            return Self::read(file);
        }
        println!("no recording at {}: a few sample frames instead", path.display());
        let mut frames = Self::empty(false);
        (0..2000).for_each(|_| SAMPLES.iter().for_each(|frame| frames.push(frame)));
        frames
    }

    /// One frame many times.
    pub fn repeated(frame: &str, times: usize) -> Self {
        let mut frames = Self::empty(false);
        (0..times).for_each(|_| frames.push(frame));
        frames.of("")
    }

    fn empty(is_recorded: bool) -> Self {
        Self { text: String::new(), ends: Vec::new(), snapshot: None, is_recorded }
    }

    fn read(file: File) -> Self {
        let mut frames = Self::empty(true);
        for line in BufReader::new(GzDecoder::new(file)).lines().map_while(Result::ok) {
            let Some((_, frame)) = line.split_once(' ') else { continue };
            if frame.starts_with("{\"stream\"") {
                frames.push(frame);
            } else {
                frames.snapshot = Some(frame.to_owned());
            }
        }
        frames
    }

    fn push(&mut self, frame: &str) {
        self.text.push_str(frame);
        self.ends.push(self.text.len());
    }

    /// The frames that contain a text, with readable bytes behind the last.
    pub fn of(&self, kind: &str) -> Self {
        let mut chosen = Self::empty(self.is_recorded);
        self.iter().filter(|frame| frame.contains(kind)).for_each(|frame| chosen.push(frame));
        chosen.text.push_str(&"\0".repeat(256));
        chosen
    }

    /// How many frames.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without any frame.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Every frame.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.spans().map(|(start, end)| &self.text[start..end])
    }

    /// Start and end of every frame.
    pub fn spans(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied())
    }

    /// As [`Self::spans`]; the bytes are near when their turn comes, as those that a socket just brought are.
    pub fn arriving(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.spans().inspect(|(start, end)| {
            (*start..*end).step_by(LINE).for_each(|at| near(self.text.as_ptr().wrapping_add(at + AHEAD)));
        })
    }

    /// The texts of all of them.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Values one after another, each near when its turn comes.
pub fn arriving<T>(values: &[T]) -> impl Iterator<Item = &T> {
    values.iter().inspect(|value| near(std::ptr::from_ref(*value).wrapping_byte_add(AHEAD)))
}

/// Bytes of a cache line.
const LINE: usize = 64;
/// How far ahead of those whose turn it is bytes are asked for.
const AHEAD: usize = 2048;

/// Asks the cache for the line at an address: what is measured is not how far the recording is. A hint; any address is
/// allowed.
#[inline(always)]
fn near<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads and writes nothing and faults on no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

fn data_dir() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    std::env::var_os("TICKPATH_DATA").map_or_else(default, PathBuf::from)
}

/// The instrument of the frames.
pub fn definition() -> InstrumentDefinition {
    let Some(symbol) = Symbol::new("BTCUSDT") else { unreachable!("a constant symbol") };
    let price = Grid { scale: 2, places: 1, step: 10 };
    let qty = Grid { scale: 3, places: 3, step: 1 };
    InstrumentDefinition::on_grids(symbol, 0, price, qty)
}
