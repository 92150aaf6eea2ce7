use super::*;

/// Keys that are the same for both sides of a test, numbered by update.
fn keys(update: u8) -> Keys {
    let key = UnboundKey::new(&AES_128_GCM, &[update; 16]).unwrap();
    Keys { key: LessSafeKey::new(key), iv: [7; 12], sequence: 0 }
}

struct Schedule {
    received: u8,
    sent: u8,
}

impl KeySchedule for Schedule {
    fn next_receive(&mut self) -> Result<Keys, TlsError> {
        self.received += 1;
        Ok(keys(self.received))
    }

    fn next_send(&mut self) -> Result<Keys, TlsError> {
        self.sent += 1;
        Ok(keys(self.sent))
    }
}

fn side() -> Records {
    Records::new(keys(0), keys(0), Box::new(Schedule { received: 0, sent: 0 }), &[])
}

fn give(to: &mut Records, bytes: &[u8]) {
    to.space()[..bytes.len()].copy_from_slice(bytes);
    to.filled(bytes.len());
}

fn sealed(from: &mut Records, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; payload.len() + 4 * OVERHEAD];
    let len = from.seal(payload, &mut out).unwrap().unwrap();
    out.truncate(len);
    out
}

fn data(to: &mut Records) -> Option<Vec<u8>> {
    match to.next_received().unwrap()? {
        Received::Data(range) => Some(to.bytes(range).to_vec()),
        Received::Closed => panic!("closed"),
    }
}

#[test]
fn data_arrives_whatever_the_read_boundaries() {
    for step in [1, 3, 100, 20_000] {
        let (mut client, mut server) = (side(), side());
        let payloads: Vec<Vec<u8>> = [1, 300, 16_384, 5].map(|len| vec![b'x'; len]).to_vec();
        let stream = payloads.iter().flat_map(|p| sealed(&mut client, p)).collect::<Vec<u8>>();
        let mut found = Vec::new();
        for piece in stream.chunks(step) {
            give(&mut server, piece);
            while let Some(payload) = data(&mut server) {
                found.push(payload);
            }
        }
        assert_eq!(found, payloads, "step {step}");
    }
}

#[test]
fn keys_are_updated_when_asked_and_before_they_are_worn() {
    let (mut client, mut server) = (side(), side());
    let mut out = [0; 100];
    let asking =
        server.seal_record(content::HANDSHAKE, &[content::KEY_UPDATE, 0, 0, 1, 1], &mut out).unwrap();
    server.send = server.schedule.next_send().unwrap();
    give(&mut client, &out[..asking]);
    give(&mut client, &sealed(&mut server, b"under new keys"));
    assert_eq!(data(&mut client).unwrap(), b"under new keys");
    // The answer goes before the next data, under the old keys.
    give(&mut server, &sealed(&mut client, b"so be it"));
    assert_eq!(data(&mut server).unwrap(), b"so be it");
    assert_eq!(client.seal_owed(&mut out), Ok(None));
    client.send.sequence = RECORDS_MAX;
    server.receive.sequence = RECORDS_MAX;
    give(&mut server, &sealed(&mut client, b"worn"));
    assert_eq!(data(&mut server).unwrap(), b"worn");
    assert_eq!((client.send.sequence, server.receive.sequence), (1, 1));
}

#[test]
fn tickets_are_passed_over_and_ends_are_told_apart() {
    let (mut client, mut server) = (side(), side());
    let mut out = [0; 200];
    let ticket = [&[content::NEW_SESSION_TICKET, 0, 0, 3, 1, 2, 3][..]; 2].concat();
    let len = server.seal_record(content::HANDSHAKE, &ticket, &mut out).unwrap();
    give(&mut client, &out[..len]);
    assert_eq!(client.next_received(), Ok(None));
    let len = server.seal_alert(None, &mut out).unwrap();
    give(&mut client, &out[..len]);
    assert_eq!(client.next_received(), Ok(Some(Received::Closed)));
    let len = server.seal_alert(Some(40), &mut out).unwrap();
    give(&mut client, &out[..len]);
    assert_eq!(client.next_received(), Err(TlsError::Alert(40)));
}

#[test]
fn bad_records_are_refused_with_their_alert() {
    let cases: [(&[u8], u8); 3] =
        [(&[20, 3, 3, 0, 1, 1], 10), (&[23, 3, 3, 0xff, 0xff], 22), (&[23, 3, 3, 0, 3, 1, 2, 3], 20)];
    for (bytes, alert) in cases {
        let mut client = side();
        give(&mut client, bytes);
        assert_eq!(client.next_received().unwrap_err().alert(), Some(alert), "{bytes:?}");
    }
    let mut out = [0; 100];
    for message in
        [&[][..], &[content::KEY_UPDATE, 0, 0, 1, 2], &[1, 0, 0, 0], &[content::KEY_UPDATE, 0, 0, 9, 0]]
    {
        let (mut client, mut server) = (side(), side());
        let len =
            server.seal_record(if message.is_empty() { 0 } else { content::HANDSHAKE }, message, &mut out);
        give(&mut client, &out[..len.unwrap()]);
        assert!(matches!(client.next_received(), Err(TlsError::Message(_))), "{message:?}");
    }
}

/// Damage anywhere in a record: it never opens, whatever the damage, and nothing panics.
#[test]
fn a_million_damaged_records_never_open() {
    let mut state = 8446_u64;
    let mut below = move |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let mut server = side();
    let mut client = side();
    let good = sealed(&mut server, b"{\"e\":\"bookTicker\",\"u\":1}");
    for _ in 0..1_000_000 {
        let mut record = good.clone();
        for _ in 0..=below(2) {
            let at = below(record.len());
            record[at] ^= 1 << below(8);
        }
        if record == good {
            continue;
        }
        (client.start, client.end, client.receive.sequence) = (0, 0, 0);
        give(&mut client, &record);
        // A changed length may ask for more bytes.
        let found = client.next_received();
        assert!(matches!(found, Err(_) | Ok(None)), "{record:?}");
    }
    (client.start, client.end, client.receive.sequence) = (0, 0, 0);
    give(&mut client, &good);
    assert!(data(&mut client).is_some());
}
