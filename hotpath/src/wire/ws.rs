//! WebSocket frames in place (RFC 6455, client side), over a fixed buffer.
//!
//! The buffer owns the bytes between two reads of the socket; a message is handed out as a slice of it.
//! What is moved are the parts of a fragmented message, to join them, and a frame of which the rest is to come.

use super::simd;
use super::text::{PADDING, Text};
use crate::pages;
use std::ops::Range;
use thiserror::Error;

/// Largest header: two bytes, eight of length, four of mask.
pub const HEADER_BYTES_MAX: usize = 14;

/// Operation codes.
mod opcode {
    pub(super) const CONTINUATION: u8 = 0;
    pub(super) const TEXT: u8 = 1;
    pub(super) const BINARY: u8 = 2;
    pub(super) const CLOSE: u8 = 8;
    pub(super) const PING: u8 = 9;
    pub(super) const PONG: u8 = 10;
}

/// Bytes no server may send. The connection is closed with [`FrameError::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A reserved bit without a negotiated extension.
    #[error("reserved bits {0:#x} set")]
    ReservedBits(u8),
    /// An operation code of the reserved ranges.
    #[error("reserved operation code {0}")]
    ReservedOpcode(u8),
    /// Server frames are not masked.
    #[error("masked frame from a server")]
    Masked,
    /// Control frames are whole and at most 125 bytes.
    #[error("control frame fragmented or of {0} bytes, at most 125")]
    Control(u64),
    /// Lengths use the shortest form.
    #[error("length {0} not in its shortest form")]
    LengthForm(u64),
    /// A continuation without a start, or a start within a message.
    #[error("fragment out of order")]
    Fragment,
    /// A frame or message beyond the configured cap.
    #[error("message of {0} bytes, cap {1}")]
    TooLarge(u64, usize),
    /// A text message that is no UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A close frame with a forbidden code or a one-byte body.
    #[error("close frame with code {0}")]
    CloseCode(u16),
}

impl FrameError {
    /// Status to close with (RFC 6455, section 7.4.1).
    pub const fn close_code(self) -> u16 {
        match self {
            Self::TooLarge(..) => 1009,
            Self::Utf8 => 1007,
            _ => 1002,
        }
    }
}

/// What the buffer holds next; ranges are for [`FrameBuffer::bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole text message.
    Text(Range<usize>),
    /// A whole binary message.
    Binary(Range<usize>),
    /// A ping; the payload must be echoed.
    Ping(Range<usize>),
    /// A pong.
    Pong,
    /// The peer closes, with its status or 1005 for none.
    Close(u16),
}

/// A frame of which the rest is to come is brought to the front after so many bytes: reads of as many at most then stay
/// within twice that.
pub const NEAR_BYTES: usize = 64 << 10;

struct Header {
    is_final: bool,
    opcode: u8,
    header_bytes: usize,
    payload_bytes: usize,
}

/// Receive buffer of one connection.
///
/// ```text
/// 0 .. joined     parts of an unfinished fragmented message, joined
///      start      first byte not handed out
///      end        end of what was received
/// ```
pub struct FrameBuffer {
    bytes: Vec<u8>,
    joined: usize,
    /// Operation code of the unfinished message, `None` outside of one.
    fragmented: Option<u8>,
    start: usize,
    end: usize,
    caps: Caps,
    /// Longest payload that is handed out without another look at it.
    plain_max: usize,
}

/// Limits of a receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Largest frame payload.
    pub frame_bytes: usize,
    /// Largest message payload.
    pub message_bytes: usize,
    /// Who checks texts.
    pub utf8: Utf8,
}

/// Who checks that a text message is UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Utf8 {
    /// The buffer, before it hands the message out.
    Checked,
    /// The reader: a decoder that accepts nothing else looks at every byte anyway.
    LeftToReader,
}

impl FrameBuffer {
    /// A buffer for frames and messages within the caps.
    pub fn new(caps: Caps) -> Self {
        let payloads = caps.message_bytes + 2 * caps.frame_bytes;
        let bytes = pages::zeros(payloads + 2 * HEADER_BYTES_MAX + PADDING);
        let plain_max = match caps.utf8 {
            Utf8::LeftToReader => caps.frame_bytes.min(caps.message_bytes),
            Utf8::Checked => 0,
        };
        Self { bytes, joined: 0, fragmented: None, start: 0, end: 0, caps, plain_max }
    }

    /// Where the next read of the socket goes. Empty only while whole frames wait to be taken out.
    #[inline]
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (self.joined, self.joined);
        } else if self.start > self.joined {
            self.move_up();
        }
        let capacity = self.capacity();
        &mut self.bytes[self.end..capacity]
    }

    /// Brings a frame of which a part is there to the front: where there is no room for the rest of it, and where the
    /// reads would wander through memory that no cache holds.
    fn move_up(&mut self) {
        let (passed, left) = (self.start - self.joined, self.end - self.start);
        let has_wandered = passed >= NEAR_BYTES && left <= passed;
        if has_wandered || self.capacity() - self.start < self.caps.frame_bytes + HEADER_BYTES_MAX {
            self.bytes.copy_within(self.start..self.end, self.joined);
            (self.start, self.end) = (self.joined, self.joined + left);
        }
    }

    /// Bytes that reads may fill; the padding follows them.
    fn capacity(&self) -> usize {
        self.bytes.len() - PADDING
    }

    /// Accounts for `bytes` that a read put into [`Self::space`].
    pub fn filled(&mut self, bytes: usize) {
        self.end += bytes;
        debug_assert!(self.end <= self.capacity(), "{bytes} bytes beyond the buffer");
    }

    /// Bytes received and not handed out.
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    /// Bytes of a message, valid until the next call that changes the buffer.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// A message with what follows it in the buffer, valid as long as [`Self::bytes`].
    #[inline]
    pub fn text(&self, range: Range<usize>) -> Text<'_> {
        match Text::new(&self.bytes[range.start..], range.len()) {
            Some(text) => text,
            None => unreachable!("messages end before the padding"),
        }
    }

    /// The next whole message or control frame, `None` until more bytes arrive.
    ///
    /// # Errors
    ///
    /// [`FrameError`]: the connection must be closed.
    #[inline]
    pub fn next_range(&mut self) -> Result<Option<Next>, FrameError> {
        match self.next_plain() {
            Some(range) => Ok(Some(Next::Text(range))),
            None => self.next_other(),
        }
    }

    /// The common case: a whole text message in one frame of 16 bits of length at most, which nothing here has to look
    /// at. `None` for anything else, [`Self::next_range`] tells what.
    #[inline(always)]
    pub fn next_plain(&mut self) -> Option<Range<usize>> {
        let bytes = self.bytes.get(self.start..self.end)?;
        let (&[first, second, high, low], _) = bytes.split_first_chunk()?;
        let (header, length) = match second {
            0..=125 => (2, usize::from(second)),
            126 => (4, usize::from(u16::from_be_bytes([high, low]))),
            _ => return None,
        };
        let at = self.start + header;
        let is_plain = first == 0x80 | opcode::TEXT && self.fragmented.is_none();
        // A length below 126 in two bytes, like everything else that is odd, is for the long way.
        let is_within = length <= self.plain_max && at + length <= self.end;
        if !(is_plain && is_within && (header == 2 || length > 125)) {
            return None;
        }
        self.start = at + length;
        Some(at..at + length)
    }

    fn next_other(&mut self) -> Result<Option<Next>, FrameError> {
        loop {
            let Some(header) = self.parse_header()? else { return Ok(None) };
            let payload_at = self.start + header.header_bytes;
            let payload = payload_at..payload_at + header.payload_bytes;
            if payload.end > self.end {
                return Ok(None);
            }
            self.start = payload.end;
            if header.opcode >= opcode::CLOSE {
                return self.control(&header, payload).map(Some);
            }
            if header.is_final && self.fragmented.is_none() {
                return self.finish(header.opcode, payload).map(Some);
            }
            self.join(&header, payload);
            if header.is_final {
                let opcode = self.fragmented.take().unwrap_or(opcode::BINARY);
                let joined = std::mem::take(&mut self.joined);
                return self.finish(opcode, 0..joined).map(Some);
            }
        }
    }

    fn parse_header(&self) -> Result<Option<Header>, FrameError> {
        let bytes = &self.bytes[self.start..self.end];
        let [first, second, ..] = bytes else { return Ok(None) };
        let (is_final, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0f);
        if reserved != 0 {
            return Err(FrameError::ReservedBits(reserved));
        }
        if second & 0x80 != 0 {
            return Err(FrameError::Masked);
        }
        if (3..=7).contains(&opcode) || opcode > opcode::PONG {
            return Err(FrameError::ReservedOpcode(opcode));
        }
        let Some((header_bytes, length)) = parse_length(second & 0x7f, bytes)? else { return Ok(None) };
        if opcode >= opcode::CLOSE {
            if !is_final || length > 125 {
                return Err(FrameError::Control(length));
            }
        } else {
            self.check_data(opcode, length)?;
        }
        Ok(Some(Header { is_final, opcode, header_bytes, payload_bytes: length as usize }))
    }

    /// Order of fragments and caps, before the payload is waited for.
    fn check_data(&self, opcode: u8, length: u64) -> Result<(), FrameError> {
        let is_continuation = opcode == opcode::CONTINUATION;
        if is_continuation != self.fragmented.is_some() {
            return Err(FrameError::Fragment);
        }
        if length > self.caps.frame_bytes as u64 {
            return Err(FrameError::TooLarge(length, self.caps.frame_bytes));
        }
        let message = length + if is_continuation { self.joined as u64 } else { 0 };
        if message > self.caps.message_bytes as u64 {
            return Err(FrameError::TooLarge(message, self.caps.message_bytes));
        }
        Ok(())
    }

    /// Moves a fragment behind the parts before it.
    fn join(&mut self, header: &Header, payload: Range<usize>) {
        if header.opcode != opcode::CONTINUATION {
            self.fragmented = Some(header.opcode);
            self.joined = 0;
        }
        debug_assert!(self.joined <= payload.start, "joined parts end before the next fragment");
        self.bytes.copy_within(payload, self.joined);
        self.joined += header.payload_bytes;
    }

    fn control(&self, header: &Header, payload: Range<usize>) -> Result<Next, FrameError> {
        match header.opcode {
            opcode::PING => Ok(Next::Ping(payload)),
            opcode::PONG => Ok(Next::Pong),
            _ => close_status(&self.bytes[payload]).map(Next::Close),
        }
    }

    #[inline]
    fn finish(&self, opcode: u8, payload: Range<usize>) -> Result<Next, FrameError> {
        if opcode == opcode::TEXT && self.caps.utf8 == Utf8::Checked {
            std::str::from_utf8(&self.bytes[payload.clone()]).map_err(|_| FrameError::Utf8)?;
        }
        Ok(if opcode == opcode::TEXT { Next::Text(payload) } else { Next::Binary(payload) })
    }
}

/// Header length and payload length, `None` until they have arrived.
fn parse_length(short: u8, bytes: &[u8]) -> Result<Option<(usize, u64)>, FrameError> {
    let (header_bytes, length, least) = match short {
        126 => {
            let Some(field) = bytes.get(2..4) else { return Ok(None) };
            (4, u64::from(u16::from_be_bytes([field[0], field[1]])), 126)
        }
        127 => {
            let Some(field) = bytes.get(2..10).and_then(|f| <[u8; 8]>::try_from(f).ok()) else {
                return Ok(None);
            };
            (10, u64::from_be_bytes(field), 1 << 16)
        }
        length => (2, u64::from(length), 0),
    };
    if length < least || length >> 63 != 0 {
        return Err(FrameError::LengthForm(length));
    }
    Ok(Some((header_bytes, length)))
}

/// Status of a close frame's payload; 1005 for an empty one.
fn close_status(payload: &[u8]) -> Result<u16, FrameError> {
    let [high, low, reason @ ..] = payload else {
        return if payload.is_empty() { Ok(1005) } else { Err(FrameError::CloseCode(0)) };
    };
    let code = u16::from_be_bytes([*high, *low]);
    let is_allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !is_allowed {
        return Err(FrameError::CloseCode(code));
    }
    std::str::from_utf8(reason).map_err(|_| FrameError::Utf8)?;
    Ok(code)
}

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// A text message.
    Text,
    /// A binary message.
    Binary,
    /// Asks for an echo.
    Ping,
    /// Echo of a ping.
    Pong,
    /// Goodbye.
    Close,
}

/// Writes one masked frame into `out` and returns its length, or `None` when it does not fit.
pub fn encode_masked(frame: ClientFrame, payload: &[u8], mask: [u8; 4], out: &mut [u8]) -> Option<usize> {
    let opcode = match frame {
        ClientFrame::Text => opcode::TEXT,
        ClientFrame::Binary => opcode::BINARY,
        ClientFrame::Ping => opcode::PING,
        ClientFrame::Pong => opcode::PONG,
        ClientFrame::Close => opcode::CLOSE,
    };
    let header_bytes = match payload.len() {
        0..=125 => 6,
        126..=65_535 => 8,
        _ => 14,
    };
    let out = out.get_mut(..header_bytes + payload.len())?;
    out[0] = 0x80 | opcode;
    match header_bytes {
        6 => out[1] = 0x80 | payload.len() as u8,
        8 => {
            out[1] = 0x80 | 126;
            out[2..4].copy_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        _ => {
            out[1] = 0x80 | 127;
            out[2..10].copy_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out[header_bytes - 4..header_bytes].copy_from_slice(&mask);
    let body = &mut out[header_bytes..];
    simd::mask(body, payload, mask);
    Some(header_bytes + payload.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(frame_bytes: usize, message_bytes: usize) -> Caps {
        Caps { frame_bytes, message_bytes, utf8: Utf8::Checked }
    }

    fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            0..=125 => out.push(payload.len() as u8),
            _ => {
                out.push(126);
                out.extend((payload.len() as u16).to_be_bytes());
            }
        }
        out.extend(payload);
        out
    }

    fn feed(buffer: &mut FrameBuffer, bytes: &[u8]) {
        buffer.space()[..bytes.len()].copy_from_slice(bytes);
        buffer.filled(bytes.len());
    }

    #[test]
    fn messages_arrive_whatever_the_read_boundaries() {
        let mut stream = Vec::new();
        for len in [0, 1, 125, 126, 300, 999] {
            stream.extend(server_frame(0x81, &vec![b'a'; len]));
        }
        for step in [1, 2, 3, 7, 64, 5000] {
            let mut buffer = FrameBuffer::new(caps(1000, 2000));
            let mut lens = Vec::new();
            for chunk in stream.chunks(step) {
                feed(&mut buffer, chunk);
                while let Some(next) = buffer.next_range().unwrap() {
                    let Next::Text(range) = next else { panic!("{next:?}") };
                    lens.push(range.len());
                }
            }
            assert_eq!(lens, [0, 1, 125, 126, 300, 999], "step {step}");
        }
    }

    #[test]
    fn fragments_are_joined_around_control_frames() {
        let mut buffer = FrameBuffer::new(caps(100, 200));
        let parts = [
            server_frame(0x01, b"hel"),
            server_frame(0x89, b"ping"),
            server_frame(0x00, b"lo "),
            server_frame(0x80, b"world"),
            server_frame(0x81, b"next"),
        ];
        feed(&mut buffer, &parts.concat());
        let mut text = || match buffer.next_range().unwrap().unwrap() {
            Next::Text(range) | Next::Ping(range) => String::from_utf8(buffer.bytes(range).to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!([text(), text(), text()], ["ping", "hello world", "next"]);
        assert_eq!(buffer.next_range(), Ok(None));
    }

    #[test]
    fn long_fragmented_streams_stay_within_the_buffer() {
        let mut buffer = FrameBuffer::new(caps(100, 1000));
        for _ in 0..1000 {
            for i in 0..10 {
                let first = (if i == 0 { 1 } else { 0 }) | (if i == 9 { 0x80 } else { 0 });
                feed(&mut buffer, &server_frame(first, &[b'x'; 90]));
                let message = buffer.next_range().unwrap();
                assert_eq!(message.is_some(), i == 9);
            }
        }
    }

    #[test]
    fn reads_that_end_within_a_frame_stay_at_the_front() {
        let mut buffer = FrameBuffer::new(caps(1 << 20, 1 << 20));
        let stream: Vec<u8> = (0..30_000).flat_map(|_| server_frame(0x81, &[b'x'; 331])).collect();
        let (mut taken, mut farthest) = (0, 0);
        for part in stream.chunks(NEAR_BYTES) {
            feed(&mut buffer, part);
            farthest = farthest.max(buffer.end);
            while buffer.next_range().unwrap().is_some() {
                taken += 1;
            }
        }
        assert_eq!((taken, buffer.pending()), (30_000, 0));
        assert!(farthest <= 2 * NEAR_BYTES + 1_000, "{farthest} of {} bytes passed", stream.len());
    }

    #[test]
    fn a_buffer_without_space_holds_whole_frames() {
        let mut buffer = FrameBuffer::new(caps(100, 100));
        let frame = server_frame(0x81, &[b'x'; 90]);
        let mut written = 0_usize;
        loop {
            let space = buffer.space();
            if space.is_empty() {
                break;
            }
            let len = space.len().min(frame.len() - written % frame.len());
            let at = written % frame.len();
            space[..len].copy_from_slice(&frame[at..at + len]);
            buffer.filled(len);
            written += len;
        }
        let mut taken = 0;
        while buffer.next_range().unwrap().is_some() {
            taken += 1;
        }
        assert_eq!(taken, written / frame.len());
        assert!(taken >= 1 && !buffer.space().is_empty());
    }

    #[test]
    fn broken_frames_are_refused_with_their_status() {
        let cases: [(&[u8], u16); 9] = [
            (&[0xc1, 0], 1002),
            (&[0x83, 0], 1002),
            (&[0x81, 0x80, 1, 2, 3, 4], 1002),
            (&[0x09, 0], 1002),
            (&[0x80, 0], 1002),
            (&[0x81, 126, 0, 5], 1002),
            (&[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 1], 1002),
            (&[0x81, 126, 0xff, 0xff], 1009),
            (&[0x81, 2, 0xff, 0xfe], 1007),
        ];
        for (bytes, code) in cases {
            let mut buffer = FrameBuffer::new(caps(1000, 1000));
            feed(&mut buffer, bytes);
            assert_eq!(buffer.next_range().map_err(FrameError::close_code), Err(code), "{bytes:x?}");
        }
    }

    #[test]
    fn caps_are_enforced_before_the_payload_arrives() {
        let mut buffer = FrameBuffer::new(caps(100, 150));
        feed(&mut buffer, &server_frame(0x01, &[b'x'; 100]));
        assert_eq!(buffer.next_range(), Ok(None));
        feed(&mut buffer, &[0x80, 51]);
        assert_eq!(buffer.next_range(), Err(FrameError::TooLarge(151, 150)));
    }

    #[test]
    fn what_a_client_sends_unmasks_to_the_payload() {
        for len in [0, 1, 5, 125, 126, 70_000] {
            let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut out = vec![0; len + HEADER_BYTES_MAX];
            let n = encode_masked(ClientFrame::Text, &payload, [1, 2, 3, 4], &mut out).unwrap();
            let body: Vec<u8> =
                out[n - len..n].iter().enumerate().map(|(i, b)| b ^ [1, 2, 3, 4][i % 4]).collect();
            assert_eq!(body, payload);
        }
        assert_eq!(encode_masked(ClientFrame::Text, &[0; 10], [0; 4], &mut [0; 15]), None);
    }
}
