//! A relay between clients and a server, which can fall silent without closing anything, or close everything.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Carries bytes until it is dropped, which closes its connections.
pub struct Relay {
    /// Where clients connect to.
    pub address: SocketAddr,
    is_over: Arc<AtomicBool>,
    is_silent: Arc<AtomicBool>,
}

impl Relay {
    /// Listens on loopback and carries every connection to `upstream`.
    ///
    /// # Panics
    ///
    /// When the host has no free port.
    pub fn start(upstream: SocketAddr) -> Self {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (address, listener) = bound.unwrap_or_else(|e| panic!("no free port: {e}"));
        let (is_over, is_silent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (over, silent) = (Arc::clone(&is_over), Arc::clone(&is_silent));
        std::thread::spawn(move || {
            let mut pairs: Vec<[TcpStream; 2]> = Vec::new();
            while !over.load(Ordering::Relaxed) {
                pairs.extend(accept(&listener, upstream));
                if !silent.load(Ordering::Relaxed) {
                    for [client, server] in &mut pairs {
                        carry(client, server);
                        carry(server, client);
                    }
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        Self { address, is_over, is_silent }
    }

    /// Carries nothing any more, or carries again; connections stay open, new ones are accepted.
    pub fn set_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn accept(listener: &TcpListener, upstream: SocketAddr) -> Option<[TcpStream; 2]> {
    let (client, _) = listener.accept().ok()?;
    let server = TcpStream::connect(upstream).ok()?;
    for end in [&client, &server] {
        end.set_nonblocking(true).ok()?;
        end.set_nodelay(true).ok()?;
    }
    Some([client, server])
}

/// Passes on what is there; an end closes the other one.
fn carry(from: &mut TcpStream, to: &mut TcpStream) {
    let mut bytes = [0; 65_536];
    match from.read(&mut bytes) {
        Ok(0) => {
            let _ = to.shutdown(std::net::Shutdown::Both);
        }
        Ok(n) => {
            let mut at = 0;
            while at < n {
                match to.write(&bytes[at..n]) {
                    Ok(written) => at += written,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                    Err(_) => return,
                }
            }
        }
        Err(_) => {}
    }
}
