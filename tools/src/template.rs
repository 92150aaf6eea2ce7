//! Files of a new data directory in simulation: configuration, keys, and the simulator's side of them.

use crate::venue::AccountKey;
use anyhow::{Context, Result, ensure};
use ed25519_dalek::{
    SigningKey,
    pkcs8::{EncodePrivateKey, KeypairBytes},
};
use serde::{Deserialize, Serialize};
use std::{io::Read, net::SocketAddr, path::Path};
use tickpath_hotpath::guard::SIMULATION_KEY_PREFIX;
use tickpath_shared::{
    config::KeyKind,
    paths::{DataDir, create_private_dir, replace_file},
};

/// What differs between simulations.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// Where the simulator listens.
    pub venue: SocketAddr,
    /// Where the control process listens.
    pub control: SocketAddr,
    /// TOML of the threads.
    pub threads: String,
    /// `shed` or `stall`.
    pub overload: &'static str,
    /// Kind of key.
    pub key_kind: KeyKind,
    /// Authority of the simulator's TLS; `None` for plain TCP.
    pub authority: Option<std::path::PathBuf>,
    /// Orders in ten seconds.
    pub order_rate_max: usize,
    /// Pause of a leg after a refusal.
    pub leg_timeout_ms: u64,
    /// Oldest book update by the venue's clock, milliseconds.
    pub book_venue_age_ms_max: u64,
}

/// The file, with names in braces where a run's values go.
const SIMULATION: &str = include_str!("simulation.toml");

/// Text of the configuration file of a simulation.
pub fn config_text(data: &DataDir, s: &Simulation) -> String {
    let tls = if s.authority.is_some() { "s" } else { "" };
    let key_kind = match s.key_kind {
        KeyKind::Ed25519 => "ed25519",
        KeyKind::Hmac => "hmac",
    };
    let values = [
        ("tls", tls.to_owned()),
        ("venue", s.venue.to_string()),
        ("root", data.root().display().to_string()),
        ("authority", s.authority.as_ref().map_or_else(String::new, |p| p.display().to_string())),
        ("key_kind", key_kind.to_owned()),
        ("secret", secret_file(s.key_kind).to_owned()),
        ("control", s.control.to_string()),
        ("threads", s.threads.clone()),
        ("overload", s.overload.to_string()),
        ("order_rate_max", s.order_rate_max.to_string()),
        // Nearly every order is cancelled or changed once at most.
        ("message_rate_max", (s.order_rate_max * 5 / 2).to_string()),
        ("leg_timeout_ms", s.leg_timeout_ms.to_string()),
        ("book_venue_age_ms_max", s.book_venue_age_ms_max.to_string()),
    ];
    let fill = |text: String, (name, value): (&str, String)| text.replace(&format!("{{{name}}}"), &value);
    values.into_iter().fold(SIMULATION.to_owned(), fill)
}

fn secret_file(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Ed25519 => "api_secret.pem",
        KeyKind::Hmac => "api_secret",
    }
}

/// The simulator's side of the keys, as stored for `tickpath venue --keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyFile {
    /// API key.
    pub api_key: String,
    /// Shared secret of an HMAC key.
    #[serde(default)]
    pub hmac_secret: Option<String>,
    /// Public key of an Ed25519 key, hexadecimal.
    #[serde(default)]
    pub ed25519_public: Option<String>,
}

impl KeyFile {
    /// Reads the keys of a simulator.
    ///
    /// # Errors
    ///
    /// When the file is missing or malformed.
    pub fn load(path: &Path) -> Result<Vec<AccountKey>> {
        let text = std::fs::read_to_string(path).with_context(|| format!("keys {}", path.display()))?;
        let keys: Vec<Self> =
            serde_json::from_str(&text).with_context(|| format!("keys {}", path.display()))?;
        keys.into_iter().map(Self::into_key).collect()
    }

    fn into_key(self) -> Result<AccountKey> {
        let api_key = self.api_key;
        match (self.hmac_secret, self.ed25519_public) {
            (Some(secret), None) => Ok(AccountKey::Hmac { api_key, secret }),
            (None, Some(hex)) => Ok(AccountKey::Ed25519 { api_key, public: parse_hex(&hex)? }),
            _ => anyhow::bail!("key {api_key:?}: exactly one of hmac_secret and ed25519_public is needed"),
        }
    }
}

fn parse_hex(hex: &str) -> Result<[u8; 32]> {
    let bytes: Option<Vec<u8>> = (0..32)
        .map(|i| hex.get(2 * i..2 * i + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    bytes.and_then(|b| b.try_into().ok()).context("ed25519_public: 64 hexadecimal digits are needed")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Generates a simulation key in the data directory; returns the simulator's key file.
///
/// # Errors
///
/// When the files cannot be written.
pub fn generate_keys(data: &DataDir, kind: KeyKind) -> Result<std::path::PathBuf> {
    let dir = data.root().join("secrets");
    create_private_dir(&dir)?;
    check_replaceable(&dir)?;
    let api_key = format!("{SIMULATION_KEY_PREFIX}{}", hex(&random::<16>()?));
    let mut public = KeyFile { api_key: api_key.clone(), hmac_secret: None, ed25519_public: None };
    match kind {
        KeyKind::Hmac => {
            let secret = hex(&random::<32>()?);
            replace_file(&dir.join(secret_file(kind)), secret.as_bytes())?;
            public.hmac_secret = Some(secret);
        }
        KeyKind::Ed25519 => {
            let key = SigningKey::from_bytes(&random::<32>()?);
            // Without the public half: the form that every client reads.
            let private = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
            let pem = private.to_pkcs8_pem(Default::default()).map_err(|e| anyhow::anyhow!("PKCS#8: {e}"))?;
            replace_file(&dir.join(secret_file(kind)), pem.as_bytes())?;
            public.ed25519_public = Some(hex(key.verifying_key().as_bytes()));
        }
    }
    replace_file(&dir.join("api_key"), api_key.as_bytes())?;
    let path = dir.join("venue_keys.json");
    replace_file(&path, &serde_json::to_vec(&[public])?)?;
    Ok(path)
}

/// Only a simulation's keys may be replaced: those of a venue are nowhere else.
fn check_replaceable(dir: &Path) -> Result<()> {
    let kept = std::fs::read_to_string(dir.join("api_key")).ok();
    let is_simulation = kept.as_ref().is_some_and(|key| key.starts_with(SIMULATION_KEY_PREFIX));
    let secrets = [KeyKind::Ed25519, KeyKind::Hmac].map(|kind| dir.join(secret_file(kind)));
    let has_secret = secrets.iter().any(|path| path.exists());
    ensure!(
        is_simulation || (kept.is_none() && !has_secret),
        "{}: holds keys that no simulation made, which would be overwritten; choose another directory",
        dir.display()
    );
    Ok(())
}

/// TOML of the hot threads: all stages fused on one core, or one core each.
pub fn threads_text(count: usize, cores: &[usize]) -> (String, String) {
    let core = |i: usize| {
        if cores.len() > count { format!("core = {}\n", cores[cores.len() - 1 - i]) } else { String::new() }
    };
    if count == 1 {
        let text = format!(
            "[[thread]]\n{}stages = [\"feed\", \"engine\", \"gateway\"]\nwait = \"yield\"\n",
            core(0)
        );
        return (text, describe("feed+engine+gateway fused", cores, count));
    }
    let stage = |(i, name): (usize, &&str)| {
        format!("[[thread]]\n{}stages = [\"{name}\"]\nwait = \"yield\"\n\n", core(i))
    };
    let text = ["gateway", "engine", "feed"].iter().enumerate().map(stage).collect();
    (text, describe("feed, engine, gateway on a thread each", cores, count))
}

fn describe(what: &str, cores: &[usize], count: usize) -> String {
    if cores.len() > count {
        let taken: Vec<usize> = cores.iter().rev().take(count).copied().collect();
        format!("{what}, pinned to {taken:?} of the allowed cores {cores:?}")
    } else {
        format!("{what}, not pinned: the {} allowed cores are shared with everything else", cores.len())
    }
}
