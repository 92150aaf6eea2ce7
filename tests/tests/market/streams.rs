//! The frame parser against tungstenite: the same damaged streams, cut at the same places, give the same
//! messages, and a stream that one refuses the other refuses too.

use std::io::{self, Read, Write};
use tickpath_hotpath::wire::ws::{Caps, FrameBuffer, FrameError, Next, Utf8};
use tungstenite::{
    Message,
    protocol::{Role, WebSocket, WebSocketConfig},
};

const CAP: usize = 4_000;

/// What a stream gave.
#[derive(Debug, PartialEq)]
enum Item {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close,
}

impl Item {
    fn is_control(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Pong | Self::Close)
    }
}

/// A socket that gives a stream in pieces and then nothing more.
struct Pieces<'a> {
    rest: &'a [u8],
    step: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = self.step.min(out.len()).min(self.rest.len());
        out[..len].copy_from_slice(&self.rest[..len]);
        self.rest = &self.rest[len..];
        Ok(len)
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(stream: &[u8], step: usize) -> (Vec<Item>, bool) {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(Some(CAP))
        .max_frame_size(Some(CAP));
    let mut socket = WebSocket::from_raw_socket(Pieces { rest: stream, step }, Role::Client, Some(config));
    let mut items = Vec::new();
    loop {
        let item = match socket.read() {
            Ok(Message::Text(text)) => Item::Text(text.as_bytes().to_vec()),
            Ok(Message::Binary(bytes)) => Item::Binary(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Item::Ping(bytes.to_vec()),
            Ok(Message::Pong(_)) => Item::Pong,
            Ok(Message::Close(_)) => {
                items.push(Item::Close);
                return (items, false);
            }
            Ok(Message::Frame(_)) => continue,
            Err(tungstenite::Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => return (items, false),
            Err(_) => return (items, true),
        };
        items.push(item);
    }
}

fn ours(buffer: &mut FrameBuffer, stream: &[u8], step: usize) -> (Vec<Item>, Option<FrameError>) {
    let mut items = Vec::new();
    for piece in stream.chunks(step) {
        buffer.space()[..piece.len()].copy_from_slice(piece);
        buffer.filled(piece.len());
        loop {
            let item = match buffer.next_range() {
                Ok(None) => break,
                Ok(Some(Next::Text(range))) => Item::Text(buffer.bytes(range).to_vec()),
                Ok(Some(Next::Binary(range))) => Item::Binary(buffer.bytes(range).to_vec()),
                Ok(Some(Next::Ping(range))) => Item::Ping(buffer.bytes(range).to_vec()),
                Ok(Some(Next::Pong)) => Item::Pong,
                Ok(Some(Next::Close(_))) => {
                    items.push(Item::Close);
                    return (items, None);
                }
                Err(error) => return (items, Some(error)),
            };
            items.push(item);
        }
    }
    (items, None)
}

/// A small generator: the same streams for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// One frame, sound more often than not.
    fn frame(&mut self, out: &mut Vec<u8>, is_open: &mut bool) {
        let opcode = match self.below(10) {
            0..=4 if *is_open => 0,
            0..=2 => 1,
            3..=4 => 2,
            5..=6 => 9,
            7 => 10,
            8 => self.below(16) as u8,
            _ => u8::from(!*is_open),
        };
        let is_final = opcode >= 8 || self.below(3) > 0;
        if opcode < 8 {
            *is_open = !is_final;
        }
        let len = match self.below(8) {
            0 => 0,
            1 => 120 + self.below(12),
            2 if opcode < 8 => self.below(700),
            _ => self.below(40),
        };
        let reserved = if self.below(40) == 0 { (self.below(7) as u8 + 1) << 4 } else { 0 };
        let mask = if self.below(60) == 0 { 0x80 } else { 0 };
        out.push(u8::from(is_final) << 7 | reserved | opcode);
        match len {
            0..=125 => out.push(mask | len as u8),
            _ => {
                out.push(mask | 126);
                out.extend((len as u16).to_be_bytes());
            }
        }
        let pieces: [&[u8]; 5] = [b"{\"e\":1}", "ä".as_bytes(), "€".as_bytes(), "😀".as_bytes(), &[0xc3]];
        let start = out.len();
        while out.len() < start + len {
            let odds = if self.below(30) == 0 { 5 } else { 4 };
            out.extend_from_slice(pieces[self.below(odds)]);
        }
        out.truncate(start + len);
    }

    fn stream(&mut self, out: &mut Vec<u8>) {
        out.clear();
        let mut is_open = false;
        for _ in 0..=self.below(6) {
            self.frame(out, &mut is_open);
        }
        if self.below(3) == 0 {
            let at = self.below(out.len());
            out[at] ^= 1 << self.below(8);
        }
    }
}

#[test]
fn a_million_streams_give_what_tungstenite_gives() {
    let mut draw = Draw(6455);
    let mut stream = Vec::new();
    let (mut messages, mut refused) = (0_u64, 0_u64);
    for round in 0..1_000_000 {
        draw.stream(&mut stream);
        let step = 1 + draw.below(stream.len());
        let caps = Caps { frame_bytes: CAP, message_bytes: CAP, utf8: Utf8::Checked };
        let (found, error) = ours(&mut FrameBuffer::new(caps), &stream, step);
        let (expected, is_refused) = theirs(&stream, step);
        messages += found.len() as u64;
        refused += u64::from(error.is_some());
        let shown = || {
            format!(
                "round {round}, step {step}: {found:?} {error:?}, not {expected:?} {is_refused}: {stream:x?}"
            )
        };
        match error {
            // Stricter: RFC 6455, section 5.2 asks for the shortest form, and 7.4 for known codes.
            Some(FrameError::LengthForm(_) | FrameError::CloseCode(_)) => {
                let is_prefix = expected.starts_with(&found) || found.starts_with(&expected);
                assert!(is_prefix, "{}", shown());
            }
            // Both refuse. What is no UTF-8 may be seen before the message ends, or after.
            Some(_) if is_refused => {
                let (less, more) =
                    if found.len() < expected.len() { (&found, &expected) } else { (&expected, &found) };
                assert!(more.starts_with(less), "{}", shown());
                assert!(more[less.len()..].iter().all(Item::is_control), "{}", shown());
            }
            // An unfinished text may be refused before its end.
            None if is_refused => {
                assert!(found.starts_with(&expected), "{}", shown());
                assert!(found[expected.len()..].iter().all(Item::is_control), "{}", shown());
            }
            // A header may be refused before all of the frame is there: with more bytes the other refuses too.
            Some(_) => {
                let longer = [stream.as_slice(), &[0; 70_000]].concat();
                assert!(found == expected && theirs(&longer, longer.len()).1, "{}", shown());
            }
            None => assert_eq!(found, expected, "{}", shown()),
        }
    }
    println!("{messages} messages, {refused} streams refused");
    assert!(messages > 1_000_000 && refused > 100_000);
}
