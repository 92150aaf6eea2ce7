//! TLS for the simulator: a generated certificate authority and a certificate for loopback.

use anyhow::{Context, Result};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tickpath_shared::paths::replace_file;

/// Files of a generated authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate of the authority, for the clients' `venue.ca_file`.
    pub authority: PathBuf,
    /// Certificate of the server.
    pub certificate: PathBuf,
    /// Key of the server.
    pub key: PathBuf,
}

/// Generates an authority and a certificate for localhost and 127.0.0.1 in `dir`.
///
/// # Errors
///
/// When the files cannot be written.
pub fn generate_tls(dir: &Path) -> Result<TlsFiles> {
    let authority_key = rcgen::KeyPair::generate()?;
    let mut authority = rcgen::CertificateParams::new(Vec::new())?;
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "tickpath simulator authority");
    let authority_cert = authority.self_signed(&authority_key)?;
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(names())?.signed_by(&key, &issuer)?;
    let files = TlsFiles {
        authority: dir.join("authority.pem"),
        certificate: dir.join("venue.pem"),
        key: dir.join("venue.key"),
    };
    replace_file(&files.authority, authority_cert.pem().as_bytes())?;
    replace_file(&files.certificate, certificate.pem().as_bytes())?;
    replace_file(&files.key, key.serialize_pem().as_bytes())?;
    Ok(files)
}

/// Server side with the right names and an authority that no client knows.
///
/// # Errors
///
/// When no key can be made.
pub(super) fn strange_server_config() -> Result<Arc<ServerConfig>> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(names())?.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    config_of(certificate.der().clone(), key)
}

fn names() -> Vec<String> {
    vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
}

/// Server side of a generated authority.
///
/// # Errors
///
/// When a file cannot be read or does not fit the other.
pub fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>> {
    let certificate = CertificateDer::from_pem_file(&files.certificate).context("certificate")?;
    let key = PrivateKeyDer::from_pem_file(&files.key).context("key")?;
    config_of(certificate, key)
}

fn config_of(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(Arc::new(config))
}
