//! One established WebSocket connection as a hot thread uses it: non-blocking receive into a fixed buffer,
//! masked sends, no allocation.

use super::{socket::Socket, tls::TlsStream};
use crate::{
    pages,
    wire::{
        text::Text,
        ws::{Caps, ClientFrame, FrameBuffer, FrameError, HEADER_BYTES_MAX, NEAR_BYTES, Next, encode_masked},
    },
};
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    os::fd::{AsRawFd, RawFd},
};
use thiserror::Error;

/// Largest payload we send.
const SEND_BYTES_MAX: usize = 2048;

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The peer closed, with its status; 1006 without one.
    #[error("closed by the peer with status {0}")]
    Closed(u16),
    /// The peer broke the protocol.
    #[error("protocol broken: {0}")]
    Frame(#[from] FrameError),
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] io::Error),
    /// Nothing was heard for as long as is configured.
    #[error("silent for too long")]
    Silent,
    /// A stream of it has brought nothing since it was opened.
    #[error("a stream brought nothing since it was opened")]
    Mute,
    /// Another connection has taken over.
    #[error("replaced by another connection")]
    Replaced,
    /// The socket took only a part of a request: what the venue got is not known.
    #[error("socket took {0} of {1} bytes")]
    Partial(usize, usize),
}

/// A byte stream that is no socket: what a measurement or a test puts in its place. Reads fail with
/// `WouldBlock` when nothing is there.
pub trait ByteStream: Read + Write + Send {}

impl<S: Read + Write + Send> ByteStream for S {}

/// The byte stream below the frames.
pub enum Transport {
    /// Plain TCP.
    Plain(Socket),
    /// TLS over TCP.
    Tls(Box<TlsStream>, Socket),
    /// No socket at all.
    Local(Box<dyn ByteStream>),
}

impl Transport {
    /// The socket, where there is one.
    pub fn tcp(&self) -> Option<&TcpStream> {
        self.socket().map(Socket::tcp)
    }

    fn socket(&self) -> Option<&Socket> {
        match self {
            Self::Plain(socket) | Self::Tls(_, socket) => Some(socket),
            Self::Local(_) => None,
        }
    }

    #[inline]
    fn take_stamp(&mut self) -> u64 {
        match self {
            Self::Plain(socket) | Self::Tls(_, socket) => socket.take_stamp(),
            Self::Local(_) => 0,
        }
    }

    /// Reads what has arrived; `WouldBlock` when nothing has.
    ///
    /// # Errors
    ///
    /// The socket's, or those of [`TlsStream::read`].
    #[inline]
    pub fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(out),
            Self::Tls(tls, tcp) => tls.read(tcp, out),
            Self::Local(stream) => stream.read(out),
        }
    }

    /// Writes; over TLS whole or not at all.
    ///
    /// # Errors
    ///
    /// The socket's, or those of [`TlsStream::write`].
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls, tcp) => tls.write(tcp, bytes),
            Self::Local(stream) => stream.write(bytes),
        }
    }
}

/// A connection owned by a hot thread. Made and dropped by the session thread.
pub struct Connection {
    transport: Transport,
    buffer: FrameBuffer,
    out: Vec<u8>,
    mask_state: u64,
}

impl Connection {
    /// Wraps an established, non-blocking transport. `early` are bytes that came with the handshake;
    /// `mask_seed` is unpredictable to the peer.
    pub fn new(transport: Transport, early: &[u8], caps: Caps, mask_seed: u64) -> Self {
        let mut buffer = FrameBuffer::new(caps);
        buffer.space()[..early.len()].copy_from_slice(early);
        buffer.filled(early.len());
        Self {
            transport,
            buffer,
            out: pages::zeros(SEND_BYTES_MAX + HEADER_BYTES_MAX),
            mask_state: mask_seed | 1,
        }
    }

    /// Descriptor to wait on, where there is one.
    pub fn fd(&self) -> Option<RawFd> {
        self.transport.tcp().map(AsRawFd::as_raw_fd)
    }

    /// Unix nanoseconds at which the kernel got what was received since the last call; 0 when it does not say.
    #[inline]
    pub fn take_stamp(&mut self) -> u64 {
        self.transport.take_stamp()
    }

    /// One receive; true when bytes arrived.
    ///
    /// # Errors
    ///
    /// [`LinkError`]: the connection is over.
    #[inline]
    pub fn receive(&mut self) -> Result<bool, LinkError> {
        let space = self.buffer.space();
        if space.is_empty() {
            // Whole frames wait to be taken out; reading nothing would look like the end of the stream.
            return Ok(true);
        }
        // No more than stays in the nearer caches until it is taken out; what is left waits in the kernel.
        let len = space.len().min(NEAR_BYTES);
        match self.transport.read(&mut space[..len]) {
            Ok(0) => Err(LinkError::Closed(1006)),
            Ok(bytes) => {
                self.buffer.filled(bytes);
                Ok(true)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// The next text message received, after answering pings; `None` until more bytes arrive.
    ///
    /// # Errors
    ///
    /// [`LinkError`]: the connection is over; a broken protocol has been answered with its status.
    #[inline(always)]
    pub fn next_text(&mut self) -> Result<Option<Text<'_>>, LinkError> {
        match self.buffer.next_plain() {
            Some(range) => Ok(Some(self.buffer.text(range))),
            None if self.buffer.pending() == 0 => Ok(None),
            None => self.next_odd_text(),
        }
    }

    /// As [`Self::next_text`], where something else than a whole text message in one frame comes first.
    #[inline(never)]
    fn next_odd_text(&mut self) -> Result<Option<Text<'_>>, LinkError> {
        loop {
            // A range instead of a slice: the buffer stays free for the turns that answer control frames.
            let mut control = [0; 125];
            let len = match self.buffer.next_range() {
                Ok(None) => return Ok(None),
                Ok(Some(Next::Text(range) | Next::Binary(range))) => {
                    return Ok(Some(self.buffer.text(range)));
                }
                Ok(Some(Next::Ping(range))) => {
                    let payload = self.buffer.bytes(range);
                    control[..payload.len()].copy_from_slice(payload);
                    payload.len()
                }
                Ok(Some(Next::Pong)) => continue,
                Ok(Some(Next::Close(status))) => {
                    let _ = self.send(ClientFrame::Close, &[]);
                    return Err(LinkError::Closed(status));
                }
                Err(e) => return Err(self.refuse(e)),
            };
            self.send(ClientFrame::Pong, &control[..len])?;
        }
    }

    /// Closes with the status of an error in what the peer sent; the connection is over.
    #[cold]
    pub fn refuse(&mut self, error: FrameError) -> LinkError {
        // The reason stands in the error either way.
        let _ = self.send(ClientFrame::Close, &error.close_code().to_be_bytes());
        error.into()
    }

    /// Sends one text message.
    ///
    /// # Errors
    ///
    /// [`LinkError`]: whether the venue received the message is not known.
    pub fn send_text(&mut self, text: &[u8]) -> Result<(), LinkError> {
        self.send(ClientFrame::Text, text)
    }

    /// Asks the peer for a sign of life.
    ///
    /// # Errors
    ///
    /// [`LinkError`]: the connection is over.
    pub fn send_ping(&mut self) -> Result<(), LinkError> {
        self.send(ClientFrame::Ping, &[])
    }

    fn send(&mut self, frame: ClientFrame, payload: &[u8]) -> Result<(), LinkError> {
        let mask = self.next_mask();
        let Some(len) = encode_masked(frame, payload, mask, &mut self.out) else {
            return Err(LinkError::Partial(0, payload.len()));
        };
        let sent = self.transport.write(&self.out[..len])?;
        if sent == len { Ok(()) } else { Err(LinkError::Partial(sent, len)) }
    }

    /// Masks keep a proxy on the way from taking our text for its protocol; xorshift is enough for that.
    fn next_mask(&mut self) -> [u8; 4] {
        self.mask_state ^= self.mask_state << 13;
        self.mask_state ^= self.mask_state >> 7;
        self.mask_state ^= self.mask_state << 17;
        (self.mask_state as u32).to_le_bytes()
    }
}
