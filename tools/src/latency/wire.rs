//! The venue's end of the sockets: writes frames, reads orders, with or without TLS.

use crate::venue::{TlsFiles, server_config};
use anyhow::{Context, Result};
use rustls::{ServerConnection, pki_types::ServerName};
use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
};
use tickpath_hotpath::{
    net::{connection::Transport, socket::Socket, tls::TlsStream},
    session::connect::Roots,
};
use tickpath_shared::config::Host;

/// One end of a connection that was just made.
pub(super) struct VenueEnd {
    tcp: TcpStream,
    tls: Option<ServerConnection>,
    /// Bytes ready to be written, sealed where there is TLS.
    out: Vec<u8>,
    /// Bytes as they came from the socket.
    received: Vec<u8>,
    /// What was received, opened.
    plain: Vec<u8>,
}

/// Two connected sockets without delay: the product's end and the venue's.
pub(super) fn pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("loopback")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    for tcp in [&ours, &theirs] {
        tcp.set_nodelay(true)?;
    }
    Ok((ours, theirs))
}

/// A connection of the hot path and the venue's end of it.
///
/// # Errors
///
/// When loopback or the handshake fails.
pub(super) fn connect(tls: Option<&TlsFiles>, host: &Host) -> Result<(Transport, VenueEnd)> {
    let (ours, mut theirs) = pair()?;
    let (mut ours, _) = Socket::tuned(ours, host);
    let Some(files) = tls else {
        ours.tcp().set_nonblocking(true)?;
        return Ok((Transport::Plain(ours), VenueEnd::new(theirs, None)?));
    };
    let config = server_config(files)?;
    let server = std::thread::spawn(move || -> io::Result<(TcpStream, ServerConnection)> {
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut theirs)?;
        }
        Ok((theirs, tls))
    });
    let roots = Roots::load(&files.authority)?;
    let stream = TlsStream::connect(&mut ours, roots.client(), ServerName::try_from("localhost")?)?;
    let Ok(accepted) = server.join() else { anyhow::bail!("the venue's end of the handshake panicked") };
    let (theirs, tls) = accepted?;
    ours.tcp().set_nonblocking(true)?;
    Ok((Transport::Tls(Box::new(stream), ours), VenueEnd::new(theirs, Some(tls))?))
}

impl VenueEnd {
    /// The venue's end without TLS.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub(super) fn plain(tcp: TcpStream) -> Result<Self> {
        Self::new(tcp, None)
    }

    fn new(tcp: TcpStream, tls: Option<ServerConnection>) -> Result<Self> {
        tcp.set_nonblocking(true)?;
        Ok(Self { tcp, tls, out: Vec::new(), received: vec![0; 1 << 16], plain: Vec::new() })
    }

    /// Prepares bytes for [`Self::flush`]: all that can be done before the time to send.
    ///
    /// # Errors
    ///
    /// When the cipher refuses.
    pub(super) fn prepare(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.out.extend_from_slice(bytes),
            Some(tls) => {
                tls.writer().write_all(bytes)?;
                while tls.wants_write() {
                    tls.write_tls(&mut self.out)?;
                }
            }
        }
        Ok(())
    }

    /// Writes what was prepared; a full socket is waited for.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.tcp.write(&self.out[sent..]) {
                Ok(bytes) => sent += bytes,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::hint::spin_loop(),
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        Ok(())
    }

    /// Reads once; how many bytes came from the socket. They are opened by [`Self::take`], after the time was taken.
    ///
    /// # Errors
    ///
    /// The socket's, or its end.
    pub(super) fn receive(&mut self) -> io::Result<usize> {
        match self.tcp.read(&mut self.received) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// The bytes received so far and not yet [`consumed`](Self::consume), `fresh` of which came just now.
    ///
    /// # Errors
    ///
    /// A record that cannot be opened.
    pub(super) fn take(&mut self, fresh: usize) -> io::Result<&[u8]> {
        match &mut self.tls {
            None => self.plain.extend_from_slice(&self.received[..fresh]),
            Some(tls) => {
                let mut sealed = &self.received[..fresh];
                while !sealed.is_empty() {
                    tls.read_tls(&mut sealed)?;
                    let state = tls.process_new_packets().map_err(io::Error::other)?;
                    let at = self.plain.len();
                    self.plain.resize(at + state.plaintext_bytes_to_read(), 0);
                    tls.reader().read_exact(&mut self.plain[at..])?;
                }
            }
        }
        Ok(&self.plain)
    }

    /// Forgets the first bytes of what [`Self::take`] returned.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.plain.drain(..bytes);
    }
}

/// The first masked frame of a client in `bytes`: its payload, and how many bytes it takes.
pub(super) fn client_frame(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (len, head) = match bytes.get(1)? & 0x7f {
        126 => (usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 4),
        127 => return None,
        len => (usize::from(len), 2),
    };
    let mask = bytes.get(head..head + 4)?;
    let payload = bytes.get(head + 4..head + 4 + len)?;
    let text = payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Some((text, head + 4 + len))
}
