//! What a service manager is told: ready, alive, stopping (`sd_notify(3)`). Nothing where nobody listens.

use std::{
    ffi::OsString,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::{Duration, Instant},
};

/// Variable with the socket, and with the microseconds after which silence is taken for a hang.
const SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG: &str = "WATCHDOG_USEC";

/// A service manager, if there is one.
pub(super) struct ServiceManager {
    socket: Option<UnixDatagram>,
    /// Half of what it waits for.
    every: Option<Duration>,
    alive_at: Option<Instant>,
    is_ready: bool,
}

impl ServiceManager {
    /// The one that the environment names.
    pub(super) fn of_environment() -> Self {
        let every = std::env::var(WATCHDOG).ok().and_then(|text| text.parse().ok());
        Self::new(std::env::var_os(SOCKET), every)
    }

    fn new(address: Option<OsString>, watchdog_us: Option<u64>) -> Self {
        let socket = address.and_then(|address| {
            let bytes = address.as_bytes();
            // A name that begins with @ is not one of a file.
            let address = match bytes.strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&address),
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.connect_addr(&address.ok()?).ok()?;
            Some(socket)
        });
        let every = watchdog_us.filter(|us| *us > 0).map(|us| Duration::from_micros(us / 2));
        Self { socket, every, alive_at: None, is_ready: false }
    }

    fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket {
            // It looks again at the next message; it has nothing to say to us.
            let _ = socket.send(text.as_bytes());
        }
    }

    /// A turn of the supervisor; `is_up` is asked until what it watches has come up.
    pub(super) fn turn(&mut self, is_up: impl FnOnce() -> bool, now: Instant) {
        if self.socket.is_some() && !self.is_ready && is_up() {
            self.is_ready = true;
            self.tell("READY=1");
        }
        let Some(every) = self.every else { return };
        if self.alive_at.is_none_or(|at| now.saturating_duration_since(at) >= every) {
            self.alive_at = Some(now);
            self.tell("WATCHDOG=1");
        }
    }

    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_hears_each_word_once_and_signs_of_life_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut manager = ServiceManager::new(Some(path.into()), Some(2_000_000));
        let start = Instant::now();
        for (is_up, ms) in [(false, 0), (true, 500), (true, 900), (true, 1_000), (true, 1_500), (true, 2_100)]
        {
            manager.turn(|| is_up, start + Duration::from_millis(ms));
        }
        manager.stopping();
        let mut heard = Vec::new();
        let mut text = [0; 64];
        while let Ok(length) = listener.recv(&mut text) {
            heard.push(String::from_utf8_lossy(&text[..length]).into_owned());
        }
        assert_eq!(heard, ["WATCHDOG=1", "READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]);
    }

    #[test]
    fn nobody_listening_is_no_fault() {
        for address in [None, Some("/nowhere/notify".into()), Some("@no such name".into())] {
            let mut manager = ServiceManager::new(address, Some(1));
            manager.turn(|| true, Instant::now());
            manager.stopping();
            assert!(manager.socket.is_none());
        }
    }
}
