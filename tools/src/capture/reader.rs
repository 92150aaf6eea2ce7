//! Captures in the `ts-json` form: `<receive time> <frame>` a line, gzip or plain, several files merged on
//! the receive time. A line whose JSON has `lastUpdateId` and no `stream` is a book snapshot.

use super::{MarketLine, MarketSource};
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Longest line accepted.
const LINE_BYTES_MAX: usize = 8 << 20;
/// Receive times below this many units since 1970 are microseconds, above nanoseconds.
const MICROSECONDS_BELOW: u64 = 100_000_000_000_000_000;

/// Why a capture cannot be read.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The file cannot be opened or read.
    #[error("capture {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line that is not `<time> <json>`.
    #[error("capture {} line {line}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
}

/// Reads captures merged on receive time.
pub struct CaptureReader {
    files: Vec<OneFile>,
}

struct OneFile {
    path: PathBuf,
    lines: BufReader<Box<dyn Read + Send>>,
    line: u64,
    symbol: String,
    next: Option<MarketLine>,
    time_ns: u64,
}

impl CaptureReader {
    /// Opens captures that were recorded side by side: their lines are merged on time.
    ///
    /// # Errors
    ///
    /// [`CaptureError`] when one cannot be opened or its first line is malformed.
    pub fn open(paths: &[PathBuf]) -> Result<Self, CaptureError> {
        let files: Result<Vec<_>, _> = paths.iter().map(|path| OneFile::open(path)).collect();
        let mut files = files?;
        // A snapshot does not name its symbol; its file's other lines do.
        for file in &mut files {
            file.advance()?;
        }
        Ok(Self { files })
    }
}

impl MarketSource for CaptureReader {
    fn next_line(&mut self) -> Result<Option<MarketLine>, CaptureError> {
        let waiting = self.files.iter_mut().filter(|f| f.next.is_some());
        let Some(file) = waiting.min_by_key(|f| f.next.as_ref().map(|l| l.time_ns)) else { return Ok(None) };
        let line = file.next.take();
        file.advance()?;
        Ok(line)
    }
}

impl OneFile {
    fn open(path: &Path) -> Result<Self, CaptureError> {
        let io = |source| CaptureError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let is_gzip = path.extension().is_some_and(|e| e == "gz");
        let bytes: Box<dyn Read + Send> =
            if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let symbol = symbol_of_file(path).map_err(io)?;
        let lines = BufReader::with_capacity(1 << 16, bytes);
        Ok(Self { path: path.to_owned(), lines, line: 0, symbol, next: None, time_ns: 0 })
    }

    fn advance(&mut self) -> Result<(), CaptureError> {
        let mut text = String::new();
        let read = (&mut self.lines).take(LINE_BYTES_MAX as u64).read_line(&mut text);
        let bytes = read.map_err(|source| CaptureError::Io { path: self.path.clone(), source })?;
        self.line += 1;
        self.next = if bytes == 0 { None } else { Some(self.parse(text.trim_end())?) };
        Ok(())
    }

    fn parse(&mut self, text: &str) -> Result<MarketLine, CaptureError> {
        let fail =
            |why: &str| CaptureError::Line { path: self.path.clone(), line: self.line, why: why.to_owned() };
        let (time, json) = text.split_once(' ').ok_or_else(|| fail("no blank between time and frame"))?;
        let time: u64 = time.parse().map_err(|_| fail(&format!("{time:?} is no receive time")))?;
        let time_ns = if time < MICROSECONDS_BELOW { time * 1000 } else { time };
        if time_ns < self.time_ns {
            return Err(fail("receive time goes back"));
        }
        if !json.ends_with('}') {
            return Err(fail("frame is cut off"));
        }
        let stream = stream_of(json).unwrap_or_default().to_owned();
        if stream.is_empty() && !json.contains("\"lastUpdateId\"") {
            return Err(fail("neither a frame of a stream nor a snapshot"));
        }
        self.time_ns = time_ns;
        let symbol = if stream.is_empty() { self.symbol.clone() } else { symbol_of_stream(&stream) };
        Ok(MarketLine { time_ns, stream, symbol, text: json.to_owned() })
    }
}

/// `btcusdt@depth` names BTCUSDT.
fn symbol_of_stream(stream: &str) -> String {
    stream.split('@').next().unwrap_or_default().to_uppercase()
}

/// Stream name of a combined frame.
pub(crate) fn stream_of(json: &str) -> Option<&str> {
    json.strip_prefix("{\"stream\":\"")?.split('"').next()
}

/// Symbol of the first stream named in a file.
fn symbol_of_file(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let is_gzip = path.extension().is_some_and(|e| e == "gz");
    let bytes: Box<dyn Read> = if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    for line in BufReader::new(bytes).lines().take(1000) {
        let line = line?;
        let json = line.split_once(' ').map_or("", |(_, json)| json);
        if let Some(stream) = stream_of(json) {
            return Ok(symbol_of_stream(stream));
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<Vec<MarketLine>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("capture.txt");
        std::fs::write(&path, text).unwrap();
        let read = || -> Result<Vec<MarketLine>, CaptureError> {
            let mut reader = CaptureReader::open(std::slice::from_ref(&path))?;
            let mut lines = Vec::new();
            while let Some(line) = reader.next_line()? {
                lines.push(line);
            }
            Ok(lines)
        };
        read().map_err(|e| e.to_string())
    }

    #[test]
    fn microseconds_and_nanoseconds_are_told_apart() {
        let lines = open("1680652700423575 {\"stream\":\"btcusdt@trade\",\"data\":{}}\n").unwrap();
        assert_eq!((lines[0].time_ns, lines[0].symbol.as_str()), (1_680_652_700_423_575_000, "BTCUSDT"));
    }

    #[test]
    fn a_corrupt_line_is_named() {
        let text = "1 {\"stream\":\"a@b\",\"data\":{}}\n2 {\"stream\":\"a@b\",\"da\n";
        let error = open(text).unwrap_err();
        assert!(error.contains("line 2") && error.contains("cut off"), "{error}");
        assert!(open("x {}\n").unwrap_err().contains("receive time"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = CaptureReader::open(&[PathBuf::from("/nowhere/x.gz")]).err().unwrap();
        assert!(error.to_string().contains("/nowhere/x.gz"));
    }
}
