//! A file of lines that turns over when it is full: the newest is `NAME`, older ones `NAME.1` and so on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};
use tickpath_shared::paths::{create_private_dir, open_private};

/// Bytes of a file, and files at most.
const BYTES_MAX: u64 = 10 << 20;
const FILES: u32 = 5;

pub(super) struct TurningFile {
    path: PathBuf,
    bytes_max: u64,
    open: Option<(File, u64)>,
}

impl TurningFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, bytes_max: BYTES_MAX, open: None }
    }

    /// Appends whole lines; a line is never split over two files.
    pub(super) fn append(&mut self, line: &str) -> io::Result<()> {
        let length = line.len() as u64 + 1;
        if self.open.as_ref().is_some_and(|(_, bytes)| bytes + length > self.bytes_max) {
            self.open = None;
            self.turn()?;
        }
        let (file, bytes) = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(reopen(&self.path)?),
        };
        *bytes += length;
        let written = file.write_all(format!("{line}\n").as_bytes());
        if written.is_err() {
            // Moved away, or the disk is full: the next line opens it anew.
            self.open = None;
        }
        written
    }

    fn turn(&self) -> io::Result<()> {
        let name = |number: u32| match number {
            0 => self.path.clone(),
            number => PathBuf::from(format!("{}.{number}", self.path.display())),
        };
        for number in (0..FILES - 1).rev() {
            match fs::rename(name(number), name(number + 1)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

fn reopen(path: &Path) -> io::Result<(File, u64)> {
    if let Some(dir) = path.parent() {
        create_private_dir(dir)?;
    }
    let file = open_private(path, OpenOptions::new().append(true).create(true))?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_turns_over_at_its_size_and_keeps_five() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/a.jsonl");
        let mut file = TurningFile { bytes_max: 100, ..TurningFile::new(path.clone()) };
        for number in 0..100 {
            file.append(&format!("line {number:04}")).unwrap();
            if number % 7 == 0 {
                // Opened anew, it goes on where it was.
                file.open = None;
            }
        }
        let read = |name: &str| fs::read_to_string(dir.path().join("logs").join(name)).unwrap();
        let names: Vec<_> = fs::read_dir(dir.path().join("logs")).unwrap().collect();
        assert_eq!(names.len(), 5);
        let all: String = ["a.jsonl.4", "a.jsonl.3", "a.jsonl.2", "a.jsonl.1", "a.jsonl"].map(read).concat();
        let kept: Vec<&str> = all.lines().collect();
        assert!(kept.len() >= 36 && kept.last() == Some(&"line 0099"), "{}", kept.len());
        assert!(kept.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
        assert!(read("a.jsonl.4").len() <= 100);
    }
}
