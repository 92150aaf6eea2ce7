//! TLS 1.3 records after the handshake (RFC 8446, section 5), in place over fixed buffers and without IO.
//!
//! The handshake is rustls's; it hands over the traffic keys. Each record is opened where it was received and
//! built where it is sent from, so that the steady state allocates nothing. Key updates ask the schedule of the
//! handshake for the next keys.

use crate::pages;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;
use std::ops::Range;
use thiserror::Error;

/// Header, longest ciphertext.
const HEADER_BYTES: usize = 5;
const PLAIN_MAX: usize = 1 << 14;
const CIPHER_MAX: usize = PLAIN_MAX + 256;
const TAG_BYTES: usize = 16;
const RECORD_MAX: usize = HEADER_BYTES + CIPHER_MAX;

/// Bytes that a record adds to what it carries: header, content type, tag.
pub const OVERHEAD: usize = HEADER_BYTES + 1 + TAG_BYTES;

/// Records sent with one key. AES-GCM allows 2^24.5 of full size (RFC 8446, section 5.5).
const RECORDS_MAX: u64 = 1 << 23;

/// Content types and handshake messages.
mod content {
    pub(super) const ALERT: u8 = 21;
    pub(super) const HANDSHAKE: u8 = 22;
    pub(super) const DATA: u8 = 23;
    pub(super) const NEW_SESSION_TICKET: u8 = 4;
    pub(super) const KEY_UPDATE: u8 = 24;
}

/// Alert of an orderly end.
const CLOSE_NOTIFY: u8 = 0;

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsError {
    /// A record of a type that has no place here.
    #[error("TLS record of type {0}")]
    RecordType(u8),
    /// Longer than a record may be.
    #[error("TLS record of {0} bytes, at most {CIPHER_MAX}")]
    TooLong(usize),
    /// The record was not made by the peer, or not in this place.
    #[error("TLS record does not open")]
    Forged,
    /// A decrypted record without content, or a handshake message that is cut or has no place here.
    #[error("TLS message of type {0} is malformed or has no place here")]
    Message(u8),
    /// The peer gave up.
    #[error("TLS alert {0}")]
    Alert(u8),
    /// The handshake's schedule gave no further keys.
    #[error("TLS key update: {0}")]
    KeyUpdate(String),
}

impl TlsError {
    /// Alert that tells the peer why (RFC 8446, section 6.2); `None` when it gave up itself.
    pub const fn alert(&self) -> Option<u8> {
        match self {
            Self::RecordType(_) => Some(10),
            Self::TooLong(_) => Some(22),
            Self::Forged => Some(20),
            Self::Message(_) => Some(50),
            Self::Alert(_) => None,
            Self::KeyUpdate(_) => Some(80),
        }
    }
}

/// Gives the keys after a key update. Off the common path; it may allocate.
pub trait KeySchedule: Send {
    /// Keys of what the peer sends from now on.
    ///
    /// # Errors
    ///
    /// [`TlsError::KeyUpdate`].
    fn next_receive(&mut self) -> Result<Keys, TlsError>;

    /// Keys of what we send from now on.
    ///
    /// # Errors
    ///
    /// [`TlsError::KeyUpdate`].
    fn next_send(&mut self) -> Result<Keys, TlsError>;
}

/// Keys of one direction.
pub struct Keys {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Keys {
    /// Keys as the handshake gives them, with the number of the next record.
    ///
    /// # Errors
    ///
    /// [`TlsError::KeyUpdate`] for a cipher suite that is not one of TLS 1.3.
    pub fn new(sequence: u64, secrets: &ConnectionTrafficSecrets) -> Result<Self, TlsError> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(TlsError::KeyUpdate("unknown cipher suite".into())),
        };
        let key = UnboundKey::new(algorithm, key.as_ref())
            .map_err(|_| TlsError::KeyUpdate("key of a wrong length".into()))?;
        let mut bytes = [0; 12];
        bytes.copy_from_slice(iv.as_ref());
        Ok(Self { key: LessSafeKey::new(key), iv: bytes, sequence })
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, sequence) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= sequence;
        }
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// What the receive buffer holds next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Application data, for [`Records::bytes`]; valid until the next call that changes the buffer.
    Data(Range<usize>),
    /// The peer closed in order; nothing follows.
    Closed,
}

/// Both directions of a connection after the handshake.
pub struct Records {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    receive: Keys,
    send: Keys,
    schedule: Box<dyn KeySchedule>,
    /// The peer asked for new keys of ours.
    owes_key_update: bool,
}

impl Records {
    /// Records with these keys; `early` was received with the end of the handshake.
    pub fn new(receive: Keys, send: Keys, schedule: Box<dyn KeySchedule>, early: &[u8]) -> Self {
        let mut bytes = pages::zeros((2 * RECORD_MAX).max(early.len() + RECORD_MAX));
        bytes[..early.len()].copy_from_slice(early);
        Self { bytes, start: 0, end: early.len(), receive, send, schedule, owes_key_update: false }
    }

    /// Where the next read of the socket goes; never empty once no whole record is left.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.bytes.len() - self.start < RECORD_MAX {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// Accounts for `bytes` that a read put into [`Self::space`].
    pub fn filled(&mut self, bytes: usize) {
        self.end += bytes;
    }

    /// Bytes of a range.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Opens records until one carries data; `None` until more bytes arrive.
    ///
    /// # Errors
    ///
    /// [`TlsError`]: the connection is over.
    #[inline]
    pub fn next_received(&mut self) -> Result<Option<Received>, TlsError> {
        loop {
            let Some((kind, plain)) = self.open()? else { return Ok(None) };
            match kind {
                content::DATA if plain.is_empty() => {}
                content::DATA => return Ok(Some(Received::Data(plain))),
                content::HANDSHAKE => self.on_handshake(plain)?,
                content::ALERT => match self.bytes[plain] {
                    [_, CLOSE_NOTIFY] => return Ok(Some(Received::Closed)),
                    [_, description] => return Err(TlsError::Alert(description)),
                    _ => return Err(TlsError::Message(content::ALERT)),
                },
                other => return Err(TlsError::Message(other)),
            }
        }
    }

    /// Opens the next record in place: its content type and where its content lies.
    #[inline]
    fn open(&mut self) -> Result<Option<(u8, Range<usize>)>, TlsError> {
        let Some((header, _)) = self.bytes[self.start..self.end].split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = *header;
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if header[0] != content::DATA {
            return Err(TlsError::RecordType(header[0]));
        }
        if length > CIPHER_MAX {
            return Err(TlsError::TooLong(length));
        }
        let at = self.start + HEADER_BYTES;
        if at + length > self.end {
            return Ok(None);
        }
        let nonce = self.receive.nonce();
        let sealed = &mut self.bytes[at..at + length];
        let plain =
            self.receive.key.open_in_place(nonce, Aad::from(header), sealed).map_err(|_| TlsError::Forged)?;
        // Zeros may follow the content type; content has one.
        let Some(last) = plain.iter().rposition(|&byte| byte != 0) else { return Err(TlsError::Message(0)) };
        if last > PLAIN_MAX {
            return Err(TlsError::TooLong(last));
        }
        let kind = plain[last];
        self.start = at + length;
        Ok(Some((kind, at..at + last)))
    }

    /// Messages after the handshake: tickets, which nobody here resumes with, and key updates. A message that
    /// is split over records is not sent by any server of these sizes and ends the connection.
    fn on_handshake(&mut self, plain: Range<usize>) -> Result<(), TlsError> {
        let mut at = plain.start;
        while at < plain.end {
            let [kind, high, middle, low, ..] = self.bytes[at..plain.end] else {
                return Err(TlsError::Message(content::HANDSHAKE));
            };
            let body = at + 4..at + 4 + u32::from_be_bytes([0, high, middle, low]) as usize;
            if body.end > plain.end {
                return Err(TlsError::Message(kind));
            }
            at = body.end;
            match (kind, &self.bytes[body]) {
                (content::NEW_SESSION_TICKET, _) => {}
                // New keys begin with the next record.
                (content::KEY_UPDATE, &[asks @ 0..=1]) if at == plain.end => {
                    self.receive = self.schedule.next_receive()?;
                    self.owes_key_update |= asks == 1;
                }
                _ => return Err(TlsError::Message(kind)),
            }
        }
        Ok(())
    }

    /// Writes a record with application data into `out` and returns its length; `None` when it does not fit
    /// `out` or a record. A key update that is due goes before it.
    ///
    /// # Errors
    ///
    /// [`TlsError::KeyUpdate`].
    #[inline]
    pub fn seal(&mut self, payload: &[u8], out: &mut [u8]) -> Result<Option<usize>, TlsError> {
        let before = if self.owes_key_update || self.send.sequence >= RECORDS_MAX {
            match self.seal_key_update(out)? {
                Some(bytes) => bytes,
                None => return Ok(None),
            }
        } else {
            0
        };
        Ok(self.seal_record(content::DATA, payload, &mut out[before..]).map(|bytes| before + bytes))
    }

    /// Writes the key update that the peer asked for, if it did.
    ///
    /// # Errors
    ///
    /// [`TlsError::KeyUpdate`].
    pub fn seal_owed(&mut self, out: &mut [u8]) -> Result<Option<usize>, TlsError> {
        if self.owes_key_update { self.seal_key_update(out) } else { Ok(None) }
    }

    #[cold]
    fn seal_key_update(&mut self, out: &mut [u8]) -> Result<Option<usize>, TlsError> {
        let bytes = self.seal_record(content::HANDSHAKE, &[content::KEY_UPDATE, 0, 0, 1, 0], out);
        if bytes.is_some() {
            self.send = self.schedule.next_send()?;
            self.owes_key_update = false;
        }
        Ok(bytes)
    }

    /// Writes an alert: `None` is the orderly end.
    pub fn seal_alert(&mut self, error: Option<u8>, out: &mut [u8]) -> Option<usize> {
        let (level, description) = error.map_or((1, CLOSE_NOTIFY), |description| (2, description));
        self.seal_record(content::ALERT, &[level, description], out)
    }

    #[inline]
    fn seal_record(&mut self, kind: u8, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let length = payload.len() + 1 + TAG_BYTES;
        if payload.len() > PLAIN_MAX {
            return None;
        }
        let out = out.get_mut(..HEADER_BYTES + length)?;
        let [high, low] = (length as u16).to_be_bytes();
        let header = [content::DATA, 3, 3, high, low];
        out[..HEADER_BYTES].copy_from_slice(&header);
        let (plain, tag_place) = out[HEADER_BYTES..].split_at_mut(payload.len() + 1);
        plain[..payload.len()].copy_from_slice(payload);
        plain[payload.len()] = kind;
        let nonce = self.send.nonce();
        let tag = self.send.key.seal_in_place_separate_tag(nonce, Aad::from(header), plain).ok()?;
        tag_place.copy_from_slice(tag.as_ref());
        Some(HEADER_BYTES + length)
    }
}

#[cfg(test)]
mod tests;
