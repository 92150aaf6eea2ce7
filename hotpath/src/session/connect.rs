//! Establishing a WebSocket connection: DNS, TCP, TLS, HTTP upgrade. Blocking and cold; the result belongs
//! to a hot thread.

use crate::{
    net::{
        connection::{Connection, LinkError, Transport},
        settings::Setting,
        socket::Socket,
        tls::{self, TlsStream},
    },
    wire::ws::Caps,
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName, version::TLS13};
use std::{
    io::{self, Read},
    net::{TcpStream, ToSocketAddrs},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use thiserror::Error;
use tickpath_shared::config::Host;
use tungstenite::handshake::{client::generate_key, derive_accept_key};

const PATIENCE: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Why a connection could not be made.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Not `ws://` or `wss://` with a host.
    #[error("{url:?} is no WebSocket URL")]
    Url {
        /// What was configured.
        url: String,
    },
    /// Name resolution, TCP or TLS.
    #[error("{host}")]
    Io {
        /// Host and port.
        host: String,
        /// What failed.
        source: io::Error,
    },
    /// The server did not upgrade.
    #[error("{host}: upgrade refused: {why}")]
    Upgrade {
        /// Host and port.
        host: String,
        /// Status line or what is wrong.
        why: String,
    },
    /// The certificate authority file is unusable.
    #[error("certificate authority {path}: {why}")]
    Authority {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The order session could not be logged on.
    #[error("{host}: logon failed: {why}")]
    Logon {
        /// Host and port.
        host: String,
        /// What is wrong.
        why: String,
    },
}

/// Roots of trust of a session: the built-in ones, and one more authority if configured.
pub struct Roots {
    tls: Arc<ClientConfig>,
    rest: ureq::tls::RootCerts,
}

impl Roots {
    /// Reads the additional authority, a PEM file; an empty path adds none.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Authority`].
    pub fn load(ca_file: &Path) -> Result<Self, ConnectError> {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let fail = |why: String| ConnectError::Authority { path: ca_file.display().to_string(), why };
        let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let mut rest = ureq::tls::RootCerts::WebPki;
        if !ca_file.as_os_str().is_empty() {
            let pem = std::fs::read(ca_file).map_err(|e| fail(e.to_string()))?;
            let der = CertificateDer::from_pem_slice(&pem).map_err(|e| fail(e.to_string()))?;
            store.add(der).map_err(|e| fail(e.to_string()))?;
            let certificate = ureq::tls::Certificate::from_pem(&pem).map_err(|e| fail(e.to_string()))?;
            rest = ureq::tls::RootCerts::Specific(Arc::new(vec![certificate]));
        }
        let builder = ClientConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|e| fail(e.to_string()))?;
        let mut tls = builder.with_root_certificates(store).with_no_client_auth();
        // The hot threads carry on with the keys; tickets for a resumption are not kept.
        tls.enable_secret_extraction = true;
        tls.resumption = rustls::client::Resumption::disabled();
        Ok(Self { tls: Arc::new(tls), rest })
    }

    /// Configuration of a TLS 1.3 client whose keys the hot threads carry on with.
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }

    /// The roots for REST.
    pub fn rest(&self) -> ureq::tls::RootCerts {
        self.rest.clone()
    }
}

/// Parts of a WebSocket URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    is_tls: bool,
    host: String,
    port: u16,
    target: String,
}

impl Url {
    /// Splits `ws[s]://host[:port][/path][?query]`.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Url`].
    pub fn parse(url: &str) -> Result<Self, ConnectError> {
        let bad = || ConnectError::Url { url: url.to_owned() };
        let (is_tls, rest) = match (url.strip_prefix("wss://"), url.strip_prefix("ws://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(bad()),
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| bad())?),
            None => (authority, if is_tls { 443 } else { 80 }),
        };
        if host.is_empty() {
            return Err(bad());
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { is_tls, host: host.to_owned(), port, target })
    }

    fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Host of any URL, empty when there is none.
pub fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

/// Request that logs a session on, and the judge of its answer.
pub type Logon<'a> = (&'a str, fn(&[u8]) -> bool);

/// A connection and what became of its socket's settings.
pub struct Established {
    /// The connection.
    pub connection: Box<Connection>,
    /// The settings.
    pub settings: Vec<Setting>,
}

/// Connects and upgrades. `logon` is sent and its answer checked before the connection is handed on, so that
/// no hot thread and no lane ever sees a key.
///
/// # Errors
///
/// [`ConnectError`].
pub fn connect(
    url: &str,
    roots: &Roots,
    caps: Caps,
    host: &Host,
    logon: Option<Logon<'_>>,
) -> Result<Established, ConnectError> {
    let url = Url::parse(url)?;
    let io = |source| ConnectError::Io { host: url.authority(), source };
    let tcp = open_tcp(&url).map_err(io)?;
    let (socket, settings) = Socket::tuned(tcp, host);
    let mut transport = open_transport(&url, socket, roots).map_err(io)?;
    let early = upgrade(&url, &mut transport)?;
    let seed = random_seed().map_err(io)?;
    let Some(tcp) = transport.tcp().map(TcpStream::try_clone) else { unreachable!("opened over TCP") };
    let tcp = tcp.map_err(io)?;
    let mut connection = Box::new(Connection::new(transport, &early, caps, seed));
    if let Some((request, is_accepted)) = logon {
        log_on(&mut connection, request, is_accepted)
            .map_err(|why| ConnectError::Logon { host: url.authority(), why })?;
    }
    tcp.set_read_timeout(None).map_err(io)?;
    tcp.set_nonblocking(true).map_err(io)?;
    Ok(Established { connection, settings })
}

fn open_tcp(url: &Url) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in (url.host.as_str(), url.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(tcp) => {
                tcp.set_read_timeout(Some(PATIENCE))?;
                tcp.set_write_timeout(Some(PATIENCE))?;
                return Ok(tcp);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// The transport of a URL after the TLS handshake, still blocking.
fn open_transport(url: &Url, mut socket: Socket, roots: &Roots) -> io::Result<Transport> {
    if !url.is_tls {
        return Ok(Transport::Plain(socket));
    }
    let name = ServerName::try_from(url.host.clone()).map_err(io::Error::other)?;
    let tls = TlsStream::connect(&mut socket, roots.client(), name)?;
    Ok(Transport::Tls(Box::new(tls), socket))
}

/// Sends the upgrade and checks the answer; returns bytes that came after it.
fn upgrade(url: &Url, stream: &mut Transport) -> Result<Vec<u8>, ConnectError> {
    let io = |source| ConnectError::Io { host: url.authority(), source };
    let refused = |why: String| ConnectError::Upgrade { host: url.authority(), why };
    let key = generate_key();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n",
        url.target,
        url.authority()
    );
    // A request this small is taken whole by a fresh socket, or the connection is no good.
    if stream.write(request.as_bytes()).map_err(io)? < request.len() {
        return Err(io(io::ErrorKind::WriteZero.into()));
    }
    let mut head = Vec::new();
    let mut chunk = [0; 4096];
    let end = loop {
        if let Some(at) = head.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if head.len() > HEAD_BYTES_MAX {
            return Err(refused(format!("head of more than {HEAD_BYTES_MAX} bytes")));
        }
        match stream.read(&mut chunk).map_err(io)? {
            0 => return Err(refused("closed before the answer".into())),
            n => head.extend_from_slice(&chunk[..n]),
        }
    };
    check_upgrade(&head[..end], &derive_accept_key(key.as_bytes())).map_err(refused)?;
    Ok(head.split_off(end))
}

fn check_upgrade(head: &[u8], accept: &str) -> Result<(), String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).map_err(|e| e.to_string())?;
    if response.code != Some(101) {
        return Err(format!("status {}", response.code.unwrap_or(0)));
    }
    let is_accepted = response
        .headers
        .iter()
        .any(|h| h.name.eq_ignore_ascii_case("sec-websocket-accept") && h.value == accept.as_bytes());
    if is_accepted { Ok(()) } else { Err("accept key missing or wrong".into()) }
}

fn log_on(connection: &mut Connection, request: &str, is_accepted: fn(&[u8]) -> bool) -> Result<(), String> {
    let text = |e: LinkError| e.to_string();
    connection.send_text(request.as_bytes()).map_err(text)?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        connection.receive().map_err(text)?;
        if let Some(answer) = connection.next_text().map_err(text)? {
            // The answer repeats the key: it is judged here and never shown.
            return if is_accepted(answer.as_bytes()) {
                Ok(())
            } else {
                Err("the venue refused the key".into())
            };
        }
    }
    Err(format!("no answer within {PATIENCE:?}"))
}

fn random_seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split() {
        let url = Url::parse("wss://fstream.example.com/public/stream?streams=a/b").unwrap();
        assert_eq!((url.is_tls, url.authority()), (true, "fstream.example.com:443".into()));
        assert_eq!(url.target, "/public/stream?streams=a/b");
        assert_eq!(Url::parse("ws://127.0.0.1:9001").unwrap().target, "/");
        for bad in ["http://x", "ws://", "ws://x:port/"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(host_of("https://fapi.example.com:8443/x"), "fapi.example.com");
    }

    #[test]
    fn an_upgrade_needs_the_right_key() {
        let answer = |code: u16, key: &str| {
            format!("HTTP/1.1 {code} X\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {key}\r\n\r\n")
        };
        assert!(check_upgrade(answer(101, "k").as_bytes(), "k").is_ok());
        assert!(check_upgrade(answer(101, "other").as_bytes(), "k").is_err());
        assert_eq!(check_upgrade(answer(403, "k").as_bytes(), "k").unwrap_err(), "status 403");
    }
}
