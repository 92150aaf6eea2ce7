//! Servers that must not be trusted: another authority's certificate, another name, one that has expired or is not valid
//! yet, an old protocol, no TLS at all, a name that does not exist. Neither a socket nor REST connects to any.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion, pki_types::PrivateKeyDer, version};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tickpath_hotpath::{
    session::connect::{ConnectError, Roots, connect},
    venue::{Call, Http, Method, Transport},
    wire::ws::{Caps, Utf8},
};
use tickpath_shared::config::Host;

/// Connections of each kind.
const TRIES: usize = 100;

/// An authority and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server that ends every connection after its handshake; `years` bound its certificate.
    fn serve(
        &self,
        name: &str,
        years: [i32; 2],
        versions: &[&'static SupportedProtocolVersion],
    ) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let config =
            builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let config = Arc::new(config);
        serve(move |mut tcp| {
            let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            // Whether the client goes on is its own decision.
            while tls.is_handshaking() && tls.complete_io(&mut tcp).is_ok() {}
            let _ = rustls::Stream::new(&mut tls, &mut tcp)
                .write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
            // Closed with the request unread, the answer would be lost to a reset.
            let _ = tcp.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = tcp.shutdown(Shutdown::Write);
            while tcp.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
        })
    }
}

fn serve(each: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            each(tcp);
        }
    });
    address
}

fn try_socket(roots: &Roots, host: &str) -> ConnectError {
    let caps = Caps { frame_bytes: 1 << 16, message_bytes: 1 << 18, utf8: Utf8::Checked };
    match connect(&format!("wss://{host}/"), roots, caps, &Host::default(), None) {
        Ok(_) => panic!("{host} was connected to"),
        Err(e) => e,
    }
}

fn try_rest(roots: &Roots, host: &str) -> Result<u16, String> {
    let http = Http::new(&format!("https://{host}"), roots.rest(), Duration::from_secs(5));
    let call = Call { method: Method::Get, path: "/", query: "", api_key: "", body_max: 1000 };
    http.call(&call).map(|answer| answer.status).map_err(|e| e.to_string())
}

fn roots(dir: &Path, authority: &Authority) -> Roots {
    let path = dir.join("authority.pem");
    std::fs::write(&path, &authority.pem).unwrap();
    Roots::load(&path).unwrap()
}

#[test]
fn nobody_untrusted_is_connected_to() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(), Authority::new());
    let roots = roots(dir.path(), &ours);
    let (both, now, local) = ([&version::TLS13, &version::TLS12], [2020, 2090], "127.0.0.1");
    let plain = serve(|mut tcp| {
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let cases = [
        ("another authority", other.serve(local, now, &both).to_string()),
        ("another name", ours.serve("elsewhere.example", now, &both).to_string()),
        ("expired", ours.serve(local, [2020, 2021], &both).to_string()),
        ("not valid yet", ours.serve(local, [2089, 2090], &both).to_string()),
        ("no TLS", plain.to_string()),
        ("no such name", "no-such-host.invalid:443".to_owned()),
    ];
    std::thread::scope(|scope| {
        for (why, host) in &cases {
            let roots = &roots;
            scope.spawn(move || {
                for _ in 0..TRIES {
                    assert!(matches!(try_socket(roots, host), ConnectError::Io { .. }), "{why}");
                    assert!(try_rest(roots, host).is_err(), "{why}");
                }
                println!("{why}: {} of {} refused", 2 * TRIES, 2 * TRIES);
            });
        }
    });
    // The hot threads carry on with TLS 1.3 alone: a server that offers less gets nothing of theirs.
    let old = ours.serve(local, now, &[&version::TLS12]).to_string();
    assert!(matches!(try_socket(&roots, &old), ConnectError::Io { .. }));
    // The right certificate passes: what is refused then is the upgrade.
    let good = ours.serve(local, now, &both).to_string();
    assert!(matches!(try_socket(&roots, &good), ConnectError::Upgrade { .. }));
    assert_eq!(try_rest(&roots, &good), Ok(404));
}
