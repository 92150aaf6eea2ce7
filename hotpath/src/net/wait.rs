//! What a hot thread does when a turn found nothing to do.

use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use std::{io, os::fd::RawFd, time::Duration};
use tickpath_shared::config::Wait;

/// Longest sleep of a parked thread: rings and the kill word are looked at that often.
const PARK: Duration = Duration::from_millis(1);
/// Idle turns before a yielding thread gives its core away.
const SPINS: u32 = 64;

/// A wait strategy and its state.
pub struct Waiter {
    strategy: Wait,
    idle: u32,
    park: Option<(Poll, Events)>,
}

impl Waiter {
    /// The strategy as configured.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left for parking.
    pub fn new(strategy: Wait) -> io::Result<Self> {
        let park = match strategy {
            Wait::Park => Some((Poll::new()?, Events::with_capacity(16))),
            Wait::Spin | Wait::Yield => None,
        };
        Ok(Self { strategy, idle: 0, park })
    }

    /// Wakes a parked thread when the descriptor becomes readable. A closed descriptor leaves by itself.
    pub fn watch(&mut self, fd: Option<RawFd>) {
        if let (Some((poll, _)), Some(fd)) = (&mut self.park, fd) {
            // A refusal only costs the wake-up: the thread looks again after a millisecond.
            let _ = poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE);
        }
    }

    /// Called after every turn with what it did.
    #[inline]
    pub fn after(&mut self, work: usize) {
        if work > 0 {
            self.idle = 0;
            return;
        }
        self.idle = self.idle.saturating_add(1);
        match (self.strategy, &mut self.park) {
            (Wait::Park, Some((poll, events))) if self.idle > SPINS => {
                let _ = poll.poll(events, Some(PARK));
                if !events.is_empty() {
                    // Told once only: every socket gets its look before the next sleep.
                    self.idle = 0;
                }
            }
            (Wait::Yield, _) if self.idle > SPINS => std::thread::yield_now(),
            _ => std::hint::spin_loop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::Write,
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    #[test]
    fn a_woken_thread_looks_around_before_it_sleeps_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut waiter = Waiter::new(Wait::Park).unwrap();
        waiter.watch(Some(socket.as_raw_fd()));
        (0..=SPINS).for_each(|_| waiter.after(0));
        // Sleeps that nothing ends leave the thread asleep.
        waiter.after(0);
        assert!(waiter.idle > SPINS);
        peer.write_all(b"tick").unwrap();
        let woken = (0..100).any(|_| {
            waiter.after(0);
            waiter.idle == 0
        });
        assert!(woken);
    }
}
