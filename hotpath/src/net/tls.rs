//! TLS under a connection: rustls's handshake, blocking and cold, then records with its keys on the hot thread.

use crate::{
    pages,
    wire::tls::{KeySchedule, Keys, OVERHEAD, Received, Records, TlsError},
};
use rustls::{
    ClientConfig, Error,
    client::{ClientConnectionData, UnbufferedClientConnection},
    crypto::CryptoProvider,
    kernel::KernelConnection,
    pki_types::ServerName,
    unbuffered::{ConnectionState, EncodeError, InsufficientSizeError},
};
use std::{
    io::{self, Read, Write},
    ops::Range,
    sync::Arc,
};

/// Most bytes of a handshake flight: certificate chains of 16 KiB and more have been seen.
const FLIGHT_MAX: usize = 128 * 1024;
/// Largest payload that is written in one record.
const WRITE_MAX: usize = 8 * 1024;

/// The library behind every handshake of this process, the same as under the records of the hot threads.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// TLS over a socket that the caller holds.
pub struct TlsStream {
    records: Records,
    /// Opened data that has not been taken.
    plain: Range<usize>,
    out: Vec<u8>,
    is_closed: bool,
}

impl KeySchedule for KernelConnection<ClientConnectionData> {
    fn next_receive(&mut self) -> Result<Keys, TlsError> {
        let (sequence, secrets) = self.update_rx_secret().map_err(|e| TlsError::KeyUpdate(e.to_string()))?;
        Keys::new(sequence, &secrets)
    }

    fn next_send(&mut self) -> Result<Keys, TlsError> {
        let (sequence, secrets) = self.update_tx_secret().map_err(|e| TlsError::KeyUpdate(e.to_string()))?;
        Keys::new(sequence, &secrets)
    }
}

impl TlsStream {
    /// Shakes hands over a blocking socket. The configuration allows the extraction of secrets and TLS 1.3
    /// alone.
    ///
    /// # Errors
    ///
    /// The socket's error, or rustls's as [`io::ErrorKind::Other`].
    pub fn connect(
        tcp: &mut (impl Read + Write),
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let mut connection = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut incoming = Vec::new();
        shake_hands(&mut connection, tcp, &mut incoming)?;
        let (secrets, schedule) = connection.dangerous_into_kernel_connection().map_err(io::Error::other)?;
        let keys = |(sequence, secrets): (u64, _)| Keys::new(sequence, &secrets).map_err(io::Error::other);
        let (receive, send) = (keys(secrets.rx)?, keys(secrets.tx)?);
        Ok(Self {
            records: Records::new(receive, send, Box::new(schedule), &incoming),
            plain: 0..0,
            out: pages::zeros(WRITE_MAX + 2 * OVERHEAD + 8),
            is_closed: false,
        })
    }

    /// Reads what has arrived; `WouldBlock` when nothing has, 0 after the peer's orderly end.
    ///
    /// # Errors
    ///
    /// The socket's error; [`TlsError`] as [`io::ErrorKind::InvalidData`]; `UnexpectedEof` when the socket
    /// ended without the peer's saying so.
    #[inline]
    pub fn read(&mut self, tcp: &mut (impl Read + Write), out: &mut [u8]) -> io::Result<usize> {
        loop {
            // Every whole record that is here is opened now: no later event of the socket would tell of it.
            let taken = self.take(tcp, out)?;
            if taken > 0 || self.is_closed {
                return Ok(taken);
            }
            self.answer(tcp)?;
            let bytes = tcp.read(self.records.space())?;
            if bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.records.filled(bytes);
        }
    }

    /// Opens records and copies their data as far as there is room.
    #[inline]
    fn take(&mut self, tcp: &mut impl Write, out: &mut [u8]) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let len = self.plain.len().min(out.len() - taken);
            let from = self.plain.start..self.plain.start + len;
            self.plain.start += len;
            out[taken..taken + len].copy_from_slice(self.records.bytes(from));
            taken += len;
            if !self.plain.is_empty() || self.is_closed {
                return Ok(taken);
            }
            match self.records.next_received() {
                Ok(Some(Received::Data(range))) => self.plain = range,
                Ok(Some(Received::Closed)) => self.is_closed = true,
                Ok(None) => return Ok(taken),
                Err(error) => return Err(self.fail(tcp, error)),
            }
        }
    }

    /// Answers a key update, if the peer asked for one.
    #[inline]
    fn answer(&mut self, tcp: &mut impl Write) -> io::Result<()> {
        if let Some(len) = self.records.seal_owed(&mut self.out).map_err(io::Error::other)? {
            write_whole(tcp, &self.out[..len])?;
        }
        Ok(())
    }

    #[cold]
    fn fail(&mut self, tcp: &mut impl Write, error: TlsError) -> io::Error {
        if let Some(len) = error.alert().and_then(|alert| self.records.seal_alert(Some(alert), &mut self.out))
        {
            // The connection is over either way.
            let _ = write_whole(tcp, &self.out[..len]);
        }
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    /// Writes all of `bytes` in one record, or fails: what a socket took of a record is not known to the peer.
    ///
    /// # Errors
    ///
    /// The socket's error; `WriteZero` when it took a part; `InvalidInput` for more than a record carries.
    #[inline]
    pub fn write(&mut self, tcp: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        let sealed = self.records.seal(bytes, &mut self.out).map_err(io::Error::other)?;
        let len = sealed.ok_or(io::ErrorKind::InvalidInput)?;
        write_whole(tcp, &self.out[..len])?;
        Ok(bytes.len())
    }
}

fn write_whole(tcp: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let written = tcp.write(bytes)?;
    if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Drives the handshake to its end; what was received beyond it stays in `incoming`.
fn shake_hands(
    connection: &mut UnbufferedClientConnection,
    tcp: &mut (impl Read + Write),
    incoming: &mut Vec<u8>,
) -> io::Result<()> {
    let mut outgoing = Vec::new();
    loop {
        let status = connection.process_tls_records(incoming);
        let discard = status.discard;
        let is_done = match status.state.map_err(io::Error::other)? {
            ConnectionState::EncodeTlsData(mut data) => {
                encode(|out| data.encode(out), &mut outgoing)?;
                false
            }
            ConnectionState::TransmitTlsData(data) => {
                tcp.write_all(&outgoing)?;
                outgoing.clear();
                data.done();
                false
            }
            ConnectionState::BlockedHandshake => {
                incoming.drain(..discard);
                receive(tcp, incoming)?;
                continue;
            }
            ConnectionState::WriteTraffic(_) => true,
            other => return Err(io::Error::other(format!("handshake ended in {other:?}"))),
        };
        incoming.drain(..discard);
        if is_done {
            return Ok(());
        }
    }
}

fn encode(
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
    outgoing: &mut Vec<u8>,
) -> io::Result<()> {
    let start = outgoing.len();
    let written = match encode(&mut []) {
        Ok(written) => written,
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
            outgoing.resize(start + required_size, 0);
            encode(&mut outgoing[start..]).map_err(io::Error::other)?
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    outgoing.truncate(start + written);
    Ok(())
}

fn receive(tcp: &mut impl Read, incoming: &mut Vec<u8>) -> io::Result<()> {
    if incoming.len() > FLIGHT_MAX {
        return Err(io::Error::other(Error::General(format!("handshake flight above {FLIGHT_MAX} bytes"))));
    }
    let mut chunk = [0; 16 * 1024];
    match tcp.read(&mut chunk)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        bytes => {
            incoming.extend_from_slice(&chunk[..bytes]);
            Ok(())
        }
    }
}
