//! Client order ids: unique over restarts, of constant width, sortable by age.
//!
//! `tp` + instance (3) + `-` + epoch (7) + `-` + counter (8), digits in base 36. The epoch grows with
//! every start and is synced to the data directory before the first order can use it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const EPOCH_DIGITS: usize = 7;
const COUNTER_DIGITS: usize = 8;

/// Why a text is no id of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// Instance ids are three lower-case base-36 digits.
    #[error("instance id must be three characters of 0-9a-z")]
    Instance,
    /// Not `tpIII-EEEEEEE-CCCCCCCC`.
    #[error("not a client order id of this program")]
    Form,
}

/// Names one tickpath on an account: three base-36 digits.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct InstanceId([u8; 3]);

impl InstanceId {
    /// Parses three lower-case base-36 digits.
    ///
    /// # Errors
    ///
    /// [`IdError::Instance`] otherwise.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let bytes: [u8; 3] = text.as_bytes().try_into().map_err(|_| IdError::Instance)?;
        if bytes.iter().all(|b| DIGITS.contains(b)) { Ok(Self(bytes)) } else { Err(IdError::Instance) }
    }

    /// The prefix of every id of this instance, `tpIII-`.
    pub fn prefix(self) -> [u8; 6] {
        let [a, b, c] = self.0;
        [b't', b'p', a, b, c, b'-']
    }
}

/// A client order id (FIX 11) as its text, zero padded.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ClientOrderId([u8; 24]);

impl ClientOrderId {
    /// Length of the text in bytes.
    pub const LEN: usize = 2 + 3 + 1 + EPOCH_DIGITS + 1 + COUNTER_DIGITS;

    /// Largest counter that has a text.
    pub const COUNTER_MAX: u64 = 36_u64.pow(COUNTER_DIGITS as u32) - 1;

    /// The id of order number `counter` in `epoch`. Digits beyond the widths are cut; the epoch has room
    /// until the year 4453 and a session never reaches [`Self::COUNTER_MAX`] orders.
    pub fn new(instance: InstanceId, epoch: u64, counter: u64) -> Self {
        let mut text = [0_u8; 24];
        text[..6].copy_from_slice(&instance.prefix());
        write_base36(epoch, &mut text[6..13]);
        text[13] = b'-';
        write_base36(counter, &mut text[14..Self::LEN]);
        Self(text)
    }

    /// The id of the next order, which shares all but the counter's digits with this one of ours.
    #[inline]
    pub fn successor(self) -> Self {
        // The last word holds the last six digits. It is changed as a whole, so that whoever reads the id next gets it
        // from the store that is under way.
        const LAST_DIGIT: u32 = 8 * (ClientOrderId::LEN as u32 - 17);
        let [first, second, last] = self.words();
        let step = match (last >> LAST_DIGIT) as u8 {
            b'9' => u64::from(b'a' - b'9'),
            b'z' => return self.carried(),
            _ => 1,
        };
        Self::from_words([first, second, last + (step << LAST_DIGIT)])
    }

    #[cold]
    fn carried(mut self) -> Self {
        for digit in self.0[Self::LEN - COUNTER_DIGITS..Self::LEN].iter_mut().rev() {
            match *digit {
                b'9' => *digit = b'a',
                b'z' => {
                    *digit = b'0';
                    continue;
                }
                other => *digit = other + 1,
            }
            break;
        }
        self
    }

    /// The text with its padding as little-endian words.
    #[inline]
    pub fn words(&self) -> [u64; 3] {
        let (words, _) = self.0.as_chunks::<8>();
        [0, 1, 2].map(|at| words.get(at).map_or(0, |word| u64::from_le_bytes(*word)))
    }

    #[inline]
    fn from_words(words: [u64; 3]) -> Self {
        let mut text = [0; 24];
        for (bytes, word) in text.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        Self(text)
    }

    /// Takes the venue's text; ids that are not ours are kept as far as they fit.
    pub fn from_venue(text: &[u8]) -> Self {
        let mut out = [0; 24];
        let len = text.len().min(24);
        out[..len].copy_from_slice(&text[..len]);
        Self(out)
    }

    /// The venue's text fits: what is as long as the room may have been cut.
    pub fn is_whole(&self) -> bool {
        self.len() < self.0.len()
    }

    /// The text without padding.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0[..self.len()]
    }

    /// The text with its padding: zeros up to this width.
    #[inline]
    pub fn as_padded(&self) -> &[u8; 24] {
        &self.0
    }

    /// Bytes before the first zero, eight looked at in a step.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "an id that names an order is never empty")]
    pub fn len(&self) -> usize {
        const ONES: u64 = 0x0101_0101_0101_0101;
        let (words, _) = self.0.as_chunks::<8>();
        for (index, word) in words.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let zeros = word.wrapping_sub(ONES) & !word & (ONES << 7);
            if zeros != 0 {
                return index * 8 + zeros.trailing_zeros() as usize / 8;
            }
        }
        24
    }

    /// The text; empty when it is no UTF-8.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Instance, epoch and counter of an id of ours.
    ///
    /// # Errors
    ///
    /// [`IdError::Form`] when the id was made by something else.
    pub fn parts(&self) -> Result<(InstanceId, u64, u64), IdError> {
        let text = self.as_bytes();
        if text.len() != Self::LEN || !text.starts_with(b"tp") || text[5] != b'-' || text[13] != b'-' {
            return Err(IdError::Form);
        }
        let instance = InstanceId([text[2], text[3], text[4]]);
        let epoch = read_base36(&text[6..13]).ok_or(IdError::Form)?;
        let counter = read_base36(&text[14..]).ok_or(IdError::Form)?;
        Ok((instance, epoch, counter))
    }
}

impl serde::Serialize for ClientOrderId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for ClientOrderId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(deserializer).map(|text| Self::from_venue(text.as_bytes()))
    }
}

impl std::fmt::Debug for ClientOrderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn write_base36(mut value: u64, out: &mut [u8]) {
    for slot in out.iter_mut().rev() {
        *slot = DIGITS[(value % 36) as usize];
        value /= 36;
    }
}

fn read_base36(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |value, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value * 36 + u64::from(digit))
    })
}

/// Why an epoch could not be claimed.
#[derive(Debug, Error)]
pub enum EpochError {
    /// The file could not be read or synced.
    #[error("epoch file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else than a decimal number.
    #[error("epoch file {}: {text:?} is not a number; restore it or set it above every epoch used before", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its content.
        text: String,
    },
}

/// The stored epoch of a data directory.
pub struct EpochFile {
    path: PathBuf,
}

impl EpochFile {
    /// The epoch file of the data directory `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { path: dir.join("epoch") }
    }

    /// Claims `max(stored + 1, unix_seconds)` and returns it once it is on disk.
    ///
    /// # Errors
    ///
    /// [`EpochError`]: without a synced epoch no order may be sent.
    pub fn claim(&self, unix_seconds: u64) -> Result<u64, EpochError> {
        let stored = self.stored()?;
        let epoch = stored.map_or(unix_seconds, |s| unix_seconds.max(s + 1));
        self.store(epoch).map_err(|source| EpochError::Io { path: self.path.clone(), source })?;
        Ok(epoch)
    }

    fn stored(&self) -> Result<Option<u64>, EpochError> {
        let io = |source| EpochError::Io { path: self.path.clone(), source };
        let mut text = String::new();
        match File::open(&self.path) {
            Ok(mut file) => file.read_to_string(&mut text).map_err(io)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io(e)),
        };
        match text.trim().parse() {
            Ok(epoch) => Ok(Some(epoch)),
            Err(_) => Err(EpochError::Damaged { path: self.path.clone(), text }),
        }
    }

    /// Writes a sibling, syncs it and renames it, so that a crash leaves the old or the new number.
    fn store(&self, epoch: u64) -> io::Result<()> {
        let next = self.path.with_extension("next");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        writeln!(file, "{epoch}")?;
        file.sync_all()?;
        std::fs::rename(&next, &self.path)?;
        crate::paths::sync_dir(self.path.parent().unwrap_or(Path::new(".")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_constant_width_and_comes_back() {
        let instance = InstanceId::new("a01").unwrap();
        let id = ClientOrderId::new(instance, 1_763_700_000, 36);
        assert_eq!(id.as_bytes().len(), ClientOrderId::LEN);
        assert_eq!(id.parts().unwrap(), (instance, 1_763_700_000, 36));
        assert!(id.as_str().starts_with("tpa01-"));
    }

    #[test]
    fn the_successor_is_the_id_of_the_next_counter() {
        let instance = InstanceId::new("a01").unwrap();
        for counter in [0, 8, 9, 34, 35, 36, 1_295, 46_655, 1_679_615, 36_u64.pow(7) - 1] {
            let id = ClientOrderId::new(instance, 1_763_700_000, counter);
            assert_eq!(id.successor(), ClientOrderId::new(instance, 1_763_700_000, counter + 1));
        }
    }

    #[test]
    fn foreign_ids_are_not_ours() {
        assert_eq!(ClientOrderId::from_venue(b"android_MLA5BSDBdSD12WPlEyMh").parts(), Err(IdError::Form));
        assert!(InstanceId::new("A01").is_err());
    }

    #[test]
    fn epochs_grow_even_when_the_clock_is_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = EpochFile::new(dir.path());
        assert_eq!(file.claim(1000).unwrap(), 1000);
        assert_eq!(file.claim(400).unwrap(), 1001);
        assert_eq!(file.claim(1001).unwrap(), 1002);
    }

    #[test]
    fn a_damaged_epoch_refuses() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("epoch"), "12x").unwrap();
        assert!(matches!(EpochFile::new(dir.path()).claim(1), Err(EpochError::Damaged { .. })));
    }
}
