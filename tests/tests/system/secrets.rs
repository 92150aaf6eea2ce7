//! Secrets stay where they are: canaries go through a whole run, and are looked for in everything that it leaves and says.

use crate::PROGRAM;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tickpath_control::{
    api::{Method, ROUTES},
    auth::{NewToken, Role, TokenFile},
};
use tickpath_shared::{
    config::KeyKind,
    counters::Counter,
    journal::{ArchiveReader, RecordBuf},
    paths::replace_file,
};
use tickpath_tests::{
    desk::{Desk, wait_for},
    http,
};
use tickpath_tools::template;

const WEBHOOK: &str = "canary-of-the-webhook-0123456789abcdef";
const JWT: &str = "canary-of-the-web-tokens-0123456789abcdef";
const RECEIVER: &str = "canary-of-the-receiver";

/// Something that must be nowhere else.
struct Canary {
    name: &'static str,
    text: String,
}

/// Where bytes were looked at, and how many.
#[derive(Default)]
struct Search {
    canaries: Vec<Canary>,
    places: usize,
    bytes: usize,
    hits: Vec<String>,
}

impl Search {
    fn look(&mut self, place: &str, bytes: &[u8]) {
        (self.places, self.bytes) = (self.places + 1, self.bytes + bytes.len());
        for canary in &self.canaries {
            if bytes.windows(canary.text.len()).any(|window| window == canary.text.as_bytes()) {
                self.hits.push(format!("{} in {place}", canary.name));
            }
        }
    }

    fn look_at_files(&mut self, dir: &Path) {
        for path in fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()) {
            // Sockets and what is gone meanwhile have no bytes.
            match (path.is_dir(), fs::read(&path)) {
                (true, _) if path.ends_with("secrets") => {}
                (true, _) => self.look_at_files(&path),
                (false, Ok(bytes)) => self.look(&path.display().to_string(), &bytes),
                (false, Err(_)) => {}
            }
        }
    }

    /// What stands compressed in the archive.
    fn look_at_records(&mut self, dir: &Path) {
        let sessions = fs::read_dir(dir).unwrap().flatten();
        let files = sessions.flat_map(|session| fs::read_dir(session.path()).unwrap().flatten());
        let lanes: Vec<PathBuf> =
            files.map(|file| file.path()).filter(|p| p.extension().is_some_and(|e| e == "tpa")).collect();
        assert!(lanes.len() >= 4, "{lanes:?}");
        for lane in lanes {
            let (mut reader, mut buf, mut all) =
                (ArchiveReader::open(&lane).unwrap(), RecordBuf::default(), Vec::new());
            while reader.next_into(&mut buf).unwrap().is_some() {
                all.extend_from_slice(buf.record().payload);
            }
            self.look(&format!("records of {}", lane.display()), &all);
        }
    }

    /// Arguments and environment of every process that can be seen.
    fn look_at_processes(&mut self) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            for file in ["cmdline", "environ"] {
                let path = entry.path().join(file);
                if let Ok(bytes) = fs::read(&path) {
                    self.look(&path.display().to_string(), &bytes);
                }
            }
        }
    }
}

fn desk(dir: &Path, kind: KeyKind) -> (Desk, Vec<Canary>) {
    let mut desk = Desk::new(dir, PROGRAM, &Desk::busy()).unwrap();
    template::generate_keys(&desk.data, kind).unwrap();
    let secrets = dir.join("secrets");
    let (label, file) = match kind {
        KeyKind::Hmac => ("hmac", "api_secret"),
        KeyKind::Ed25519 => ("ed25519", "api_secret.pem"),
    };
    for (name, text) in
        [("webhook", WEBHOOK), ("jwt", JWT), ("url", &format!("http://127.0.0.1:9/hooks/{RECEIVER}"))]
    {
        replace_file(&secrets.join(name), text.as_bytes()).unwrap();
    }
    for (key, value) in [
        ("VENUE__KEY_KIND", label.to_owned()),
        ("VENUE__API_SECRET_FILE", secrets.join(file).display().to_string()),
        ("CONTROL__WEBHOOK_SECRET_FILE", "secrets/webhook".to_owned()),
        ("CONTROL__WEBHOOK_SOURCES", "[]".to_owned()),
        ("CONTROL__JWT_SECRET_FILE", "secrets/jwt".to_owned()),
        ("CONTROL__JWT_ISSUER", "desk".to_owned()),
        ("CONTROL__LOG_LEVEL", "debug".to_owned()),
        ("NOTIFY__URL_FILE", "secrets/url".to_owned()),
    ] {
        desk.environment.push((format!("TICKPATH__{key}"), value));
    }
    let read = |name: &str| fs::read_to_string(secrets.join(name)).unwrap();
    let secret = read(file);
    let secret = secret.lines().max_by_key(|line| line.len()).unwrap().to_owned();
    let canaries = [
        ("API key", read("api_key")),
        ("API secret", secret),
        ("webhook secret", WEBHOOK.to_owned()),
        ("secret of web tokens", JWT.to_owned()),
        ("receiver", RECEIVER.to_owned()),
    ];
    (desk, canaries.map(|(name, text)| Canary { name, text: text.trim().to_owned() }).into())
}

/// Everything that can be asked and done over HTTP, right and wrong.
fn ask_everything(desk: &Desk, token: &str, search: &mut Search) {
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    let alert = format!(r#"{{"secret":"{WEBHOOK}","time":"2020-01-01T00:00:00Z","action":"buy"}}"#);
    let wrong = format!(r#"{{"secret":"{WEBHOOK}","action":"{WEBHOOK}x"}}"#);
    for body in [&alert, &wrong] {
        let (status, _) = http::call(desk.control, "POST", "/api/v1/webhook/tradingview", &[], body).unwrap();
        assert!(status >= 400, "{status}");
    }
    for body in ["{}", r#"{"reason":"a test"}"#] {
        http::call(desk.control, "POST", "/api/v1/control/kill", &headers, body).unwrap();
    }
    for route in ROUTES.iter().filter(|r| r.method == Method::Get && r.content_type() != "text/event-stream")
    {
        let (_, text) = http::call(desk.control, "GET", route.path, &headers, "").unwrap();
        search.look(route.path, text.as_bytes());
        // A token in the address is no token, and must not be kept either.
        http::call(desk.control, "GET", &format!("{}?token={token}", route.path), &[], "").unwrap();
    }
}

fn nothing_is_told(kind: KeyKind) {
    let dir = tempfile::tempdir().unwrap();
    let (mut desk, canaries) = desk(dir.path(), kind);
    let mut search = Search { canaries, ..Search::default() };
    for role in [Role::Viewer, Role::Admin] {
        let new = NewToken { name: role.label(), role, expires_unix_s: None };
        let text = TokenFile::new(&desk.data).create(&new, 1).unwrap();
        search.canaries.push(Canary { name: role.label(), text });
    }
    let (code, issued) = desk.run_here(&["token", "issue", "--name", "anna", "--role", "admin"]).unwrap();
    let issued = issued.lines().find(|line| line.contains('.')).unwrap().to_owned();
    assert_eq!(code, 0, "{issued}");
    // They are found where they are.
    search.look("where it stands", &fs::read(dir.path().join("secrets/jwt")).unwrap());
    assert_eq!(search.hits.len(), 1);
    search.hits.clear();
    desk.start_venue(&["--seed", "91"]).unwrap();
    desk.start().unwrap();
    desk.wait_for_counter(Counter::Fills, 3).unwrap();
    let ended = desk.status().unwrap().identity().session;
    desk.kill_child("hot").unwrap();
    wait_for("the next session", || {
        desk.status().is_ok_and(|status| status.identity().session != ended && status.is_reconciled())
    })
    .unwrap();
    desk.kill_child("control").unwrap();
    wait_for("the interface", || {
        http::get(desk.control, "/health/live").is_ok_and(|(status, _)| status == 200)
    })
    .unwrap();
    let admin = search.canaries.last().unwrap().text.clone();
    ask_everything(&desk, &admin, &mut search);
    ask_everything(&desk, issued.trim(), &mut search);
    search.canaries.push(Canary { name: "web token", text: issued.trim().to_owned() });
    search.look_at_processes();
    search.look_at_files(&desk.data.current_session().unwrap().unwrap().shared_dir);
    let (_, config) = desk.run_here(&["config", "show", "--origins"]).unwrap();
    search.look("config show", config.as_bytes());
    assert_eq!(desk.stop().unwrap(), 0);
    search.look_at_files(dir.path());
    search.look_at_records(&desk.data.archive());
    println!(
        "{kind:?}: {} canaries, {} places, {} MiB",
        search.canaries.len(),
        search.places,
        search.bytes >> 20
    );
    assert!(search.hits.is_empty(), "{:?}", search.hits);
}

#[test]
fn secrets_with_hmac_stay_where_they_are() {
    nothing_is_told(KeyKind::Hmac);
}

#[test]
fn secrets_with_ed25519_stay_where_they_are() {
    nothing_is_told(KeyKind::Ed25519);
}
