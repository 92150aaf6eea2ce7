//! Reading requests: one thread that waits for all connections at once, so that a client that says little, or nothing,
//! holds no thread. When too many do, the one that has come first makes room.

use super::{
    ANSWERED_MAX, BODY_BYTES_MAX, HEAD_BYTES_MAX, Job, Queue, REQUEST_DEADLINE,
    head::{Head, Policy, Purpose, Reason, check_head},
    preflight, refuse,
};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use std::{
    collections::{HashMap, VecDeque},
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::TrySendError,
    },
    time::{Duration, Instant},
};

/// Requests that are not whole yet.
const UNFINISHED_MAX: usize = 256;
/// Longest wait before the end of the process or of a deadline is noticed.
const PAUSE: Duration = Duration::from_millis(50);
const LISTENER: Token = Token(0);

struct Unfinished {
    stream: TcpStream,
    peer: IpAddr,
    bytes: Vec<u8>,
    /// The head's end lies behind this.
    searched: usize,
    /// Judged head, and where the body begins.
    head: Option<(Head, usize)>,
    deadline: Instant,
}

pub(super) struct Front {
    listener: TcpListener,
    poll: Poll,
    policy: Policy,
    unfinished: HashMap<Token, Unfinished>,
    /// The oldest first; some have gone.
    order: VecDeque<Token>,
    next: usize,
    /// Ordinary requests, urgent ones.
    queues: Vec<Queue>,
    /// Somebody could not be let in for want of descriptors, and nobody will tell again.
    is_short: bool,
}

impl Front {
    pub(super) fn new(
        listener: std::net::TcpListener,
        policy: Policy,
        queues: Vec<Queue>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (mut listener, poll) = (TcpListener::from_std(listener), Poll::new()?);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (unfinished, order) = (HashMap::new(), VecDeque::new());
        Ok(Self { listener, poll, policy, unfinished, order, next: 1, queues, is_short: false })
    }

    pub(super) fn run(mut self, stop: &AtomicBool) {
        let mut events = Events::with_capacity(UNFINISHED_MAX);
        while !stop.load(Ordering::Relaxed) {
            // Interrupted by a signal, or not: the deadlines are looked at either way.
            let _ = self.poll.poll(&mut events, Some(PAUSE));
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    token => self.read(token),
                }
            }
            if self.is_short {
                self.accept();
            }
            self.expire(Instant::now());
        }
    }

    fn accept(&mut self) {
        use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
        loop {
            let (mut stream, peer) = match self.listener.accept() {
                Ok(accepted) => accepted,
                // One that has gone already, or a signal.
                Err(e) if matches!(e.kind(), ConnectionAborted | Interrupted) => continue,
                Err(e) => {
                    self.is_short = e.kind() != WouldBlock;
                    return;
                }
            };
            if self.unfinished.len() >= UNFINISHED_MAX {
                self.drop_oldest();
            }
            let token = Token(self.next);
            self.next += 1;
            if self.poll.registry().register(&mut stream, token, Interest::READABLE).is_err() {
                continue;
            }
            self.order.push_back(token);
            let unfinished = Unfinished {
                stream,
                peer: SocketAddr::ip(&peer).to_canonical(),
                bytes: Vec::new(),
                searched: 0,
                head: None,
                deadline: Instant::now() + REQUEST_DEADLINE,
            };
            self.unfinished.insert(token, unfinished);
        }
    }

    fn drop_oldest(&mut self) {
        while let Some(token) = self.order.pop_front() {
            if let Some(oldest) = self.take(token) {
                return refuse(&mut oldest.into_std(), Reason::UNAVAILABLE);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(token) = self.order.front().copied() {
            match self.unfinished.get(&token) {
                Some(unfinished) if unfinished.deadline > now => return,
                _ => {}
            }
            self.order.pop_front();
            if let Some(late) = self.take(token) {
                refuse(&mut late.into_std(), Reason::TIMEOUT);
            }
        }
    }

    fn take(&mut self, token: Token) -> Option<Unfinished> {
        let mut taken = self.unfinished.remove(&token)?;
        let _ = self.poll.registry().deregister(&mut taken.stream);
        Some(taken)
    }

    /// Reads what is there; a request that is whole, or can never be one, leaves.
    fn read(&mut self, token: Token) {
        let Some(unfinished) = self.unfinished.get_mut(&token) else { return };
        let read = unfinished.read(&self.policy);
        if matches!(read, Ok(false)) {
            return;
        }
        let Some(taken) = self.take(token) else { return };
        match read {
            Err(reason) => refuse(&mut taken.into_std(), reason),
            Ok(_) => self.hand_on(taken),
        }
    }

    fn hand_on(&mut self, whole: Unfinished) {
        let Some((job, is_urgent)) = whole.into_job() else { return };
        let mut job = match job {
            Job { purpose: Purpose::Preflight, page: Some(page), mut stream, .. } => {
                // A few hundred bytes: they fit the socket.
                let _ = stream.write_all(preflight(&page).as_bytes());
                return;
            }
            job => job,
        };
        let (queue, client) = (&self.queues[usize::from(is_urgent)], job.client);
        if !queue.open.enter(client) {
            return refuse(&mut job.stream, Reason::UNAVAILABLE);
        }
        let sent = queue.sender.try_send(job);
        if let Err(TrySendError::Full(mut job) | TrySendError::Disconnected(mut job)) = sent {
            queue.open.leave(client);
            refuse(&mut job.stream, Reason::UNAVAILABLE);
        }
    }
}

impl Unfinished {
    /// True when the request is whole.
    fn read(&mut self, policy: &Policy) -> Result<bool, Reason> {
        let mut chunk = [0; 4096];
        loop {
            if self.is_whole(policy)? {
                return Ok(true);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Reason::MALFORMED),
                Ok(read) => self.bytes.extend_from_slice(&chunk[..read]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Reason::MALFORMED),
            }
        }
    }

    fn is_whole(&mut self, policy: &Policy) -> Result<bool, Reason> {
        if self.head.is_none() {
            let (from, mut unseen) = (self.searched, self.bytes[self.searched..].windows(4));
            let end = unseen.position(|w| w == b"\r\n\r\n").map(|at| from + at + 4);
            self.searched = self.bytes.len().saturating_sub(3);
            if end.unwrap_or(self.bytes.len()) > HEAD_BYTES_MAX {
                return Err(Reason::HEAD);
            }
            let Some(end) = end else { return Ok(false) };
            self.head = Some((check_head(&self.bytes[..end], policy, self.peer)?, end));
        }
        Ok(self.head.as_ref().is_some_and(|(head, end)| self.bytes.len() >= end + head.body_bytes))
    }

    fn into_std(self) -> std::net::TcpStream {
        self.stream.into()
    }

    fn into_job(self) -> Option<(Job, bool)> {
        let (head, end) = self.head?;
        let mut clean = head.clean.into_bytes();
        clean.extend_from_slice(&self.bytes[end..end + head.body_bytes]);
        let stream: std::net::TcpStream = self.stream.into();
        stream.set_nonblocking(false).ok()?;
        let job = Job { stream, client: head.client, clean, page: head.page, purpose: head.purpose };
        Some((job, head.is_urgent))
    }
}

const _: () = assert!(ANSWERED_MAX <= UNFINISHED_MAX && BODY_BYTES_MAX * UNFINISHED_MAX <= 16 << 20);
