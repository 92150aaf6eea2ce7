use super::*;

fn judge(text: &str) -> Result<String, u16> {
    judge_bytes(text.as_bytes())
}

fn judge_bytes(bytes: &[u8]) -> Result<String, u16> {
    let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
    let policy = Policy::new(&config::Control::default(), address);
    let peer = IpAddr::from([127, 0, 0, 1]);
    check_head(bytes, &policy, peer).map(|h| h.clean).map_err(|r| r.status)
}

#[test]
fn a_plain_request_is_rewritten() {
    let forged = "X-Evil: a\r\nX-Tickpath-Peer: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\n";
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n{forged}Authorization: Bearer t\r\n\r\n");
    assert_eq!(
        judge(&request).unwrap(),
        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer t\r\n\
         X-Tickpath-Peer: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    assert!(judge("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok());
}

#[test]
fn requests_that_smuggle_or_exhaust_are_refused() {
    let cases = [
        ("Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n", 501),
        ("Content-Length: 0\r\nContent-Length: 40\r\n", 400),
        ("Content-Length: +40\r\n", 400),
        ("Content-Length: 40x\r\n", 400),
        ("Content-Length: 18446744073709551615\r\n", 413),
        ("Content-Length: 99999999999999999999999\r\n", 413),
    ];
    for (headers, status) in cases {
        let text = format!("POST / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        assert_eq!(judge(&text), Err(status), "{headers:?}");
    }
    assert_eq!(judge("GET / HTTP/1.1\r\n\r\n"), Err(400));
    assert_eq!(judge("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"), Err(400));
    assert_eq!(judge("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), Err(400));
    assert_eq!(judge("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n"), Err(505));
    assert_eq!(judge("BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n"), Err(405));
    assert_eq!(judge("GET / HTTP/1.1\nHost: localhost\n\r\n\r\n"), Err(400));
    assert_eq!(judge("GET http://x/ HTTP/1.1\r\nHost: localhost\r\n\r\n"), Err(400));
}

#[test]
fn a_body_is_json_and_a_token_is_plain_text() {
    let post = |headers: &str| {
        judge(&format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n{headers}\r\n"))
    };
    assert_eq!(post(""), Err(415));
    assert_eq!(post("Content-Type: application/x-www-form-urlencoded\r\n"), Err(415));
    assert_eq!(post("Content-Type: text/plain\r\n"), Err(415));
    assert!(post("Content-Type: application/json; charset=utf-8\r\n").is_ok());
    let get = |headers: &str| judge(&format!("GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"));
    assert_eq!(get("Authorization: Bearer \u{e9}\r\n"), Err(400));
    assert_eq!(get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), Err(400));
}

#[test]
fn behind_a_proxy_its_last_word_is_the_clients_address() {
    let policy = |behind_proxy| {
        let config = config::Control { behind_proxy, ..config::Control::default() };
        Policy::new(&config, "127.0.0.1:8080".parse().unwrap())
    };
    let peer = IpAddr::from([127, 0, 0, 1]);
    let said: [&[u8]; 1] = [b"6.6.6.6, 7.7.7.7"];
    assert_eq!(policy(true).client(peer, &said), IpAddr::from([7, 7, 7, 7]));
    assert_eq!(policy(true).client(peer, &[b"7.7.7.7:4711"]), IpAddr::from([7, 7, 7, 7]));
    assert_eq!(policy(true).client(peer, &[b"nonsense"]), peer);
    let another = IpAddr::from([10, 0, 0, 1]);
    assert_eq!(policy(true).client(another, &said), another, "no proxy of ours");
    assert_eq!(policy(false).client(peer, &said), peer, "anybody may say anything");
}

#[test]
fn foreign_pages_change_nothing() {
    let post =
        |origin: &str| judge(&format!("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\r\n"));
    assert_eq!(post("http://evil.example"), Err(403));
    assert_eq!(post("null"), Err(403));
    assert!(post("http://localhost:8080").is_ok());
    let fetched = |site: &str, mode: &str| {
        judge(&format!(
            "GET /x HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\n\r\n"
        ))
    };
    assert_eq!(fetched("cross-site", "no-cors"), Err(403), "an image of a foreign page");
    assert!(fetched("cross-site", "navigate").is_ok() && fetched("same-origin", "cors").is_ok());
}

#[test]
fn a_listed_page_may_ask_first_and_nobody_else() {
    let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
    let config =
        config::Control { origins: vec!["https://desk.example:8443".into()], ..config::Control::default() };
    let policy = Policy::new(&config, address);
    let judge = |text: &str| check_head(text.as_bytes(), &policy, IpAddr::from([127, 0, 0, 1]));
    let ask = |method: &str, origin: &str, more: &str| {
        judge(&format!("{method} /x HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n{more}\r\n"))
    };
    let first = "Access-Control-Request-Method: POST\r\n";
    let listed = ask("OPTIONS", "https://desk.example:8443", first).unwrap();
    assert_eq!(
        (listed.purpose, listed.page.as_deref()),
        (Purpose::Preflight, Some("https://desk.example:8443"))
    );
    assert!(ask("POST", "https://desk.example:8443", "").is_ok());
    for origin in
        ["https://desk.example", "http://desk.example:8443", "https://desk.example:8443.evil", "null"]
    {
        assert_eq!(ask("OPTIONS", origin, first).unwrap_err(), Reason::ORIGIN, "{origin}");
        assert_eq!(ask("POST", origin, "").unwrap_err(), Reason::ORIGIN, "{origin}");
        assert_eq!(ask("GET", origin, "").unwrap().page, None, "{origin}");
    }
    assert_eq!(ask("OPTIONS", "http://localhost:8080", first).unwrap().purpose, Purpose::Answer);
}

#[test]
fn only_listed_addresses_are_served_and_alerts_have_a_list_of_their_own() {
    let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
    let config = config::Control {
        sources: vec!["10.0.0.7".into()],
        behind_proxy: true,
        ..config::Control::default()
    };
    let policy = Policy::new(&config, address);
    let ask = |path: &str, peer: [u8; 4], client: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\n\r\n");
        check_head(text.as_bytes(), &policy, IpAddr::from(peer)).map(|_| ()).map_err(|r| r.status)
    };
    assert_eq!(ask("/", [127, 0, 0, 1], "10.0.0.7"), Ok(()));
    assert_eq!(ask("/", [127, 0, 0, 1], "10.0.0.8"), Err(403));
    assert_eq!(ask("/", [10, 0, 0, 8], "10.0.0.7"), Err(403), "nobody's word but a proxy's");
    assert_eq!(ask(&format!("{}tradingview", webhook::PREFIX), [127, 0, 0, 1], "10.0.0.8"), Ok(()));
}

#[test]
fn a_stream_goes_on_behind_the_event_that_it_names() {
    let ask = |id: &str| {
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let policy = Policy::new(&config::Control::default(), address);
        let text = format!("GET {}?x=1 HTTP/1.1\r\nHost: localhost\r\n{id}\r\n", stream::PATH);
        check_head(text.as_bytes(), &policy, IpAddr::from([127, 0, 0, 1])).unwrap().purpose
    };
    assert_eq!(ask(""), Purpose::Stream(None));
    assert_eq!(ask("Last-Event-ID: 12.3\r\n"), Purpose::Stream(Some("12.3".into())));
    assert_eq!(ask("Last-Event-ID: 12.3'--\r\n"), Purpose::Stream(None));
}

/// What a head says of itself, read line by line.
struct Plain<'a> {
    lines: Vec<&'a str>,
}

impl<'a> Plain<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (head, _) = text.split_once("\r\n\r\n")?;
        Some(Self { lines: head.split("\r\n").collect() })
    }

    fn values(&self, name: &str) -> Vec<&'a str> {
        let fields = self.lines[1..].iter().filter_map(|line| line.split_once(':'));
        fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

/// A million damaged heads: what passes is what a plain reader makes of it, and goes on as one clean request.
#[test]
fn damaged_heads_pass_as_what_they_say_or_not_at_all() {
    const PARTS: [&str; 24] = [
        "GET ",
        "POST ",
        "BREW ",
        "/metrics",
        "/api/v1/stream?x=1",
        "*",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\n",
        "\r",
        "Host: localhost",
        "host:127.0.0.1:8080",
        "Host : x",
        "Content-Length: 12",
        "Content-Length: +1",
        "content-length:0",
        "Transfer-Encoding: chunked",
        "Content-Type: application/json",
        "Authorization: Bearer t",
        "Origin: null",
        "\0",
        "\u{e9}",
        " \t",
    ];
    let whole = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\nContent-Type: application/json\r\n\r\n";
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let mut passed = 0_u32;
    for _ in 0..1_000_000 {
        let mut bytes = whole.as_bytes().to_vec();
        for _ in 0..=below(3) {
            let at = below(bytes.len() + 1);
            match below(4) {
                0 => drop(bytes.splice(at..at, PARTS[below(PARTS.len())].bytes())),
                1 => drop(bytes.splice(at..(at + below(30)).min(bytes.len()), [])),
                2 if at < bytes.len() => bytes[at] = below(256) as u8,
                _ => drop(bytes.splice(at..at, format!("\r\n{}", PARTS[below(PARTS.len())]).into_bytes())),
            }
        }
        // The gate reads up to here before it judges.
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        bytes.truncate(end + 4);
        let text = String::from_utf8_lossy(&bytes);
        let Ok(clean) = judge_bytes(&bytes) else { continue };
        passed += 1;
        let plain = Plain::read(&text).unwrap_or_else(|| panic!("{text:?}"));
        let [host, length] = ["host", "content-length"].map(|name| plain.values(name));
        assert_eq!(host.len(), 1, "{text:?}");
        assert!(plain.values("transfer-encoding").is_empty() && length.len() <= 1, "{text:?}");
        let length = length.first().map_or(0, |text| text.parse::<usize>().unwrap());
        assert!(!plain.lines.iter().any(|line| line.contains(['\0', '\r', '\n'])), "{text:?}");
        let clean = Plain::read(&clean).unwrap_or_else(|| panic!("{text:?}"));
        assert_eq!(clean.values("content-length"), [length.to_string()], "{text:?}");
        assert_eq!(clean.values("host"), host, "{text:?}");
        assert_eq!(clean.values("connection"), ["close"], "{text:?}");
        assert!((5..=6).contains(&clean.lines.len()), "{text:?}");
    }
    assert!(passed > 40_000, "{passed}");
}
