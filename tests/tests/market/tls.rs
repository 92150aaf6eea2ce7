//! TLS records on the hot side against rustls as the server: data both ways, key updates, the orderly end, and
//! a network that damages bytes.

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tickpath_hotpath::net::tls::TlsStream;
use tickpath_tools::venue::{TlsFiles, generate_tls};

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn client_config(files: &TlsFiles) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.authority).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.enable_secret_extraction = true;
    Arc::new(config)
}

fn server_config(files: &TlsFiles) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(&files.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}

/// Messages until the server updates its keys and asks the client for the same.
const UPDATE_EVERY: usize = 50;

/// Echoes messages of known length, updating keys now and then, and closes in order.
fn serve(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    lengths: Vec<usize>,
) -> JoinHandle<io::Result<()>> {
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept()?;
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        for (round, len) in lengths.into_iter().enumerate() {
            let mut message = vec![0; len];
            rustls::Stream::new(&mut tls, &mut tcp).read_exact(&mut message)?;
            if round % UPDATE_EVERY == UPDATE_EVERY - 1 {
                tls.refresh_traffic_keys().map_err(io::Error::other)?;
            }
            rustls::Stream::new(&mut tls, &mut tcp).write_all(&message)?;
        }
        tls.send_close_notify();
        while tls.wants_write() {
            tls.write_tls(&mut tcp)?;
        }
        // Closing with unread bytes would reset the connection before the other side has read the end.
        tcp.shutdown(std::net::Shutdown::Write)?;
        while tcp.read(&mut [0; 1024]).is_ok_and(|bytes| bytes > 0) {}
        Ok(())
    })
}

fn connect(address: std::net::SocketAddr, files: &TlsFiles) -> io::Result<(TlsStream, TcpStream)> {
    let mut tcp = TcpStream::connect(address)?;
    // A damaged length makes the reader wait for bytes that never come.
    tcp.set_read_timeout(Some(Duration::from_millis(300)))?;
    let name = ServerName::try_from("localhost").unwrap();
    Ok((TlsStream::connect(&mut tcp, client_config(files), name)?, tcp))
}

#[test]
fn data_and_key_updates_pass_between_us_and_rustls() {
    let dir = tempfile::tempdir().unwrap();
    let files = generate_tls(dir.path()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let lengths: Vec<usize> = (0..400).map(|i| 1 + i * 37 % 4_000).collect();
    let server = serve(listener, server_config(&files), lengths.clone());
    let (mut tls, mut tcp) = connect(address, &files).unwrap();
    for (round, len) in lengths.into_iter().enumerate() {
        let message = vec![round as u8; len];
        assert_eq!(tls.write(&mut tcp, &message).unwrap(), len);
        let mut echo = vec![0; len];
        let mut taken = 0;
        while taken < len {
            taken += tls.read(&mut tcp, &mut echo[taken..]).unwrap();
        }
        assert_eq!(echo, message, "round {round}");
    }
    assert_eq!(tls.read(&mut tcp, &mut [0; 10]).unwrap(), 0, "closed in order");
    drop(tcp);
    server.join().unwrap().unwrap();
}

/// Passes bytes on and flips one bit of the server's stream after so many bytes.
fn damage(listener: TcpListener, target: std::net::SocketAddr, at: usize) -> JoinHandle<io::Result<()>> {
    std::thread::spawn(move || {
        let (client, _) = listener.accept()?;
        let server = TcpStream::connect(target)?;
        let (mut up_from, mut up_to) = (client.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || {
            let copied = io::copy(&mut up_from, &mut up_to);
            up_to.shutdown(std::net::Shutdown::Both).and(copied)
        });
        let (mut from, mut to) = (server, client);
        let (mut seen, mut chunk) = (0, [0; 4096]);
        loop {
            let bytes = from.read(&mut chunk)?;
            if bytes == 0 {
                return to.shutdown(std::net::Shutdown::Both);
            }
            if (seen..seen + bytes).contains(&at) {
                chunk[at - seen] ^= 0x10;
            }
            seen += bytes;
            to.write_all(&chunk[..bytes])?;
        }
    })
}

#[test]
fn a_damaged_byte_anywhere_ends_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let files = generate_tls(dir.path()).unwrap();
    let config = server_config(&files);
    for at in (0..4_000).step_by(157) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let between = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = between.local_addr().unwrap();
        let lengths = vec![300; 10];
        let proxy = damage(between, listener.local_addr().unwrap(), at);
        let server = serve(listener, Arc::clone(&config), lengths.clone());
        let outcome = connect(address, &files).and_then(|(mut tls, mut tcp)| {
            let mut taken = 0;
            for len in lengths {
                tls.write(&mut tcp, &vec![b'x'; len])?;
                taken += len;
                let mut echo = vec![0; len];
                let mut have = 0;
                while have < len {
                    match tls.read(&mut tcp, &mut echo[have..])? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        bytes => have += bytes,
                    }
                }
                assert!(echo.iter().all(|byte| *byte == b'x'), "damage at {at} reached the reader");
            }
            Ok(taken)
        });
        // The last bytes are the orderly end, which the client did not wait for.
        assert!(outcome.is_err() || at > 3_000, "damage at byte {at} went unnoticed");
        let _ = (proxy.join(), server.join());
    }
}
