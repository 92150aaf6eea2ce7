//! Byte streams in memory, in the place of the sockets when only the program itself is measured.

use super::frames::{Frames, server_frame};
use crate::venue::script;
use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};
use tickpath_shared::{clock::Clock, types::ClientOrderId};

/// Most bytes of one read, as a socket's buffer would give them.
const READ_MAX: usize = 64 << 10;

/// The market's side: frames become readable when the measurement says so.
pub(super) struct MarketStream {
    frames: Arc<Frames>,
    at: usize,
    readable: Arc<AtomicUsize>,
}

impl MarketStream {
    /// A stream of these frames and the number of its bytes that are readable. All threads that touch it are one.
    pub(super) fn new(frames: Arc<Frames>) -> (Self, Arc<AtomicUsize>) {
        let readable = Arc::new(AtomicUsize::new(0));
        (Self { frames, at: 0, readable: Arc::clone(&readable) }, readable)
    }
}

impl Read for MarketStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = &self.frames.wire()[self.at..self.readable.load(Ordering::Relaxed)];
        if bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = bytes.len().min(out.len()).min(READ_MAX);
        out[..len].copy_from_slice(&bytes[..len]);
        self.at += len;
        Ok(len)
    }
}

impl Write for MarketStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the venue's side of the order stream has seen.
#[derive(Default)]
pub(super) struct Seen {
    /// Orders written.
    pub(super) orders: AtomicU64,
    /// Time of the last write.
    pub(super) written_ns: AtomicU64,
    /// Orders answered.
    pub(super) answered: AtomicU64,
    /// Orders are answered while this is set.
    pub(super) may_answer: AtomicBool,
}

/// The venue's side of the order stream: notes when an order's bytes arrive and refuses it later.
pub(super) struct OrderStream {
    clock: Clock,
    seen: Arc<Seen>,
    next_id: ClientOrderId,
}

impl OrderStream {
    /// A stream whose first order carries `first_id`.
    pub(super) fn new(clock: Clock, first_id: ClientOrderId) -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        (Self { clock, seen: Arc::clone(&seen), next_id: first_id }, seen)
    }
}

impl Read for OrderStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let answered = self.seen.answered.load(Ordering::Relaxed);
        let is_due = self.seen.may_answer.load(Ordering::Relaxed)
            && answered < self.seen.orders.load(Ordering::Relaxed);
        if !is_due {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let frame = server_frame(&script::refusal(self.next_id.as_str()));
        out[..frame.len()].copy_from_slice(&frame);
        self.next_id = self.next_id.successor();
        self.seen.answered.store(answered + 1, Ordering::Relaxed);
        Ok(frame.len())
    }
}

impl Write for OrderStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.seen.written_ns.store(self.clock.now(), Ordering::Relaxed);
        self.seen.orders.store(self.seen.orders.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream on which nothing happens.
pub(super) struct Silence;

impl Read for Silence {
    fn read(&mut self, _out: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Silence {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
