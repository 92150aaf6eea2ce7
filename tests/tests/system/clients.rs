//! Clients that nobody here wrote trade on the simulator: the venue's own SDK, ccxt and NautilusTrader.

use crate::PROGRAM;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};
use tickpath_shared::{config::KeyKind, paths::DataDir};
use tickpath_tests::{
    desk::{Process, free_address, wait_for},
    python::with_packages,
    root,
};
use tickpath_tools::template;

/// A key of each kind: the simulator's file, and what clients hold.
struct Keys {
    file: PathBuf,
    /// Key and secret.
    hmac: [String; 2],
    /// Key and PEM file.
    ed25519: [String; 2],
}

fn keys(dir: &Path) -> Keys {
    let mut rows = Vec::new();
    let mut make = |kind, name: &str| {
        let data = DataDir::open(&dir.join(name)).unwrap();
        let file = template::generate_keys(&data, kind).unwrap();
        let listed: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        rows.extend(listed);
        let secrets = data.root().join("secrets");
        (std::fs::read_to_string(secrets.join("api_key")).unwrap(), secrets)
    };
    let (hmac_key, secrets) = make(KeyKind::Hmac, "hmac");
    let secret = std::fs::read_to_string(secrets.join("api_secret")).unwrap();
    let (ed_key, secrets) = make(KeyKind::Ed25519, "ed25519");
    let pem = secrets.join("api_secret.pem").display().to_string();
    let file = dir.join("keys.json");
    std::fs::write(&file, serde_json::to_vec(&rows).unwrap()).unwrap();
    Keys { file, hmac: [hmac_key, secret], ed25519: [ed_key, pem] }
}

/// Runs a script against a simulator of its own; `arguments` are made from the keys.
fn trade(script: &str, arguments: impl Fn(&Keys) -> Vec<Vec<String>>) {
    let Some(python) = with_packages("clients") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (address, keys) = (free_address(), keys(dir.path()));
    let (listen, file) = (address.to_string(), keys.file.display().to_string());
    let log = dir.path().join("venue.log");
    let _venue =
        Process::start(Path::new(PROGRAM), &["venue", "--listen", &listen, "--keys", &file], &[], &log)
            .unwrap();
    wait_for("the simulator", || std::net::TcpStream::connect(address).is_ok()).unwrap();
    for arguments in arguments(&keys) {
        let output = Command::new(&python)
            .current_dir(root().join("tests/clients"))
            .args([script, &address.port().to_string()])
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{script}:\n{text}");
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn with_both(keys: &Keys) -> Vec<Vec<String>> {
    vec![[keys.hmac.clone(), keys.ed25519.clone()].concat()]
}

#[test]
fn the_venues_own_sdk_trades() {
    trade("sdk.py", with_both);
}

#[test]
fn ccxt_trades() {
    trade("ccxt_pro.py", with_both);
}

#[test]
fn nautilus_trades_with_either_kind_of_key() {
    trade("nautilus.py", |keys| {
        let [key, pem] = &keys.ed25519;
        vec![keys.hmac.to_vec(), vec![key.clone(), format!("@{pem}")]]
    });
}
