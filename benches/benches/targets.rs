//! Every component beside its peers: `cargo bench -p benches --features peers`. Rows may be named.

#![expect(clippy::print_stdout, reason = "the table is the result")]
#![expect(unsafe_code, reason = "a plain store into mapped memory is what the journal is compared with")]

use benches::{
    Contender, Mode, Target,
    capture::{AGG_TRADE, Frames, arriving, definition},
    peers::{AggTrade, Combined, Depth, Ticker},
    title,
};
use memmap2::MmapOptions;
#[cfg(feature = "peers")]
use rustls::{
    ConnectionTrafficSecrets,
    crypto::cipher::{AeadKey, Iv},
};
use serde::de::DeserializeOwned;
#[cfg(feature = "peers")]
use std::cell::RefCell;
use std::{
    cell::Cell,
    collections::BTreeMap,
    hint::black_box,
    io::{self, Read, Write},
    path::PathBuf,
};
#[cfg(feature = "peers")]
use tickpath_hotpath::wire::tls::{KeySchedule, Keys, OVERHEAD, Records, TlsError};
use tickpath_hotpath::{
    book::Book,
    market::{Level, MarketHeader},
    venue::{MarketDecoder, OrderEncoder, Request},
    wire::{
        simd::Isa,
        text::Text,
        ws::{Caps, ClientFrame, FrameBuffer, Next, Utf8, encode_masked},
    },
};
use tickpath_shared::{
    journal::{Lane, LaneSpec},
    record::{Cause, Class, Kind},
    types::{ClientOrderId, InstanceId, Side, TimeInForce},
};
use tickpath_tools::latency::server_frame;
use tungstenite::protocol::{
    Role, WebSocket, WebSocketConfig,
    frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

fn decode_all(decoder: &mut MarketDecoder, frames: &Frames) -> u64 {
    for (start, end) in frames.arriving() {
        let Some(text) = Text::new(&frames.text().as_bytes()[start..], end - start) else { continue };
        let decoded = decoder.decode(text);
        assert!(decoded.is_ok(), "genuine frames decode");
        black_box((decoded.is_ok(), decoder.levels()));
    }
    frames.len() as u64
}

fn serde_json_all<T: DeserializeOwned>(frames: &Frames) -> u64 {
    for (start, end) in frames.arriving() {
        let Ok(event) = serde_json::from_str::<Combined<T>>(black_box(&frames.text()[start..end])) else {
            unreachable!("genuine")
        };
        black_box(&event.data);
    }
    frames.len() as u64
}

#[cfg(feature = "peers")]
fn sonic_rs_all<T: DeserializeOwned>(frames: &Frames) -> u64 {
    for (start, end) in frames.arriving() {
        let Ok(event) = sonic_rs::from_str::<Combined<T>>(black_box(&frames.text()[start..end])) else {
            unreachable!("genuine")
        };
        black_box(&event.data);
    }
    frames.len() as u64
}

fn decode<T: DeserializeOwned>(mode: Mode, row: &str, frames: &Frames, serde: f64, sonic: f64) {
    if !mode.wants(row) {
        return;
    }
    let isas = Isa::available();
    let mut decoders: Vec<MarketDecoder> =
        isas.iter().map(|isa| MarketDecoder::with_isa(*isa, &[definition()], 1 << 20)).collect();
    let [best, others @ ..] = decoders.as_mut_slice() else { return };
    // With AVX2 as the best the stated allowance applies.
    let allowance = if isas[0] == Isa::Avx512 { 1.0 } else { 1.35 };
    let mut rivals = vec![(
        Contender::new("serde_json typed, fixed point", || serde_json_all::<T>(frames)),
        Target::Faster(serde / allowance),
    )];
    #[cfg(feature = "peers")]
    rivals.push((
        Contender::new("sonic-rs typed, fixed point", || sonic_rs_all::<T>(frames)),
        Target::Faster(sonic / allowance),
    ));
    #[cfg(not(feature = "peers"))]
    let _ = sonic;
    for (decoder, isa) in others.iter_mut().zip(&isas[1..]) {
        let name = if *isa == Isa::Avx2 { "ours with AVX2" } else { "ours, plain" };
        rivals.push((Contender::new(name, || decode_all(decoder, frames)), Target::None));
    }
    mode.compare(row, Contender::new("ours", || decode_all(best, frames)), rivals);
}

/// What processors without the best instructions get, beside those that have them and beside the peer.
fn decode_without(mode: Mode, frames: &Frames) {
    let decoder = |isa: Isa| MarketDecoder::with_isa(isa, &[definition()], 1 << 20);
    let has = |isa: Isa| Isa::available().contains(&isa);
    let row = "decode depth, AVX2";
    if mode.wants(row) && has(Isa::Avx2) && has(Isa::Avx512) {
        let (mut ours, mut best) = (decoder(Isa::Avx2), decoder(Isa::Avx512));
        let best = Contender::new("ours with AVX-512", || decode_all(&mut best, frames));
        let ours = Contender::new("ours", || decode_all(&mut ours, frames));
        mode.compare(row, ours, vec![(best, Target::Within(1.35))]);
    }
    let row = "decode depth, plain";
    if mode.wants(row) {
        let mut ours = decoder(Isa::Plain);
        let serde = Contender::new("serde_json typed, fixed point", || serde_json_all::<Depth>(frames));
        let ours = Contender::new("ours", || decode_all(&mut ours, frames));
        mode.compare(row, ours, vec![(serde, Target::Faster(6.5))]);
    }
}

/// One level change; true for a bid.
type Change = (bool, Level);

/// Snapshot and level changes of the capture, or of a market that moves about its touch.
fn changes(frames: &Frames) -> (Vec<Change>, Vec<Change>) {
    let mut decoder = MarketDecoder::new(&[definition()], 1 << 20);
    let of = |header: MarketHeader, levels: &[Level]| -> Vec<Change> {
        levels.iter().enumerate().map(|(i, level)| (i < usize::from(header.bids), *level)).collect()
    };
    let mut start = Vec::new();
    if let Some(header) = frames.snapshot.as_ref().and_then(|s| decoder.decode_snapshot(s.as_bytes(), 0).ok())
    {
        start = of(header, decoder.levels());
    }
    let mut all = Vec::new();
    for frame in frames.iter().filter(|frame| frame.contains("@depth")) {
        if decoder.decode_bytes(frame.as_bytes()).is_ok() {
            all.extend(of(*decoder.header(), decoder.levels()));
        }
    }
    (start, all)
}

#[inline(always)]
fn put(book: &mut Book, (is_bid, level): &Change) {
    let level = std::slice::from_ref(level);
    if *is_bid { book.apply(level, &[]) } else { book.apply(&[], level) }
}

#[inline(always)]
fn map_put(maps: &mut [BTreeMap<i64, i64>; 2], (is_bid, level): &Change) {
    let side = &mut maps[usize::from(*is_bid)];
    if level.qty == 0 {
        side.remove(&level.price)
    } else {
        side.insert(level.price, level.qty)
    };
}

fn book(mode: Mode, frames: &Frames) {
    let row = "book level change + best, capture";
    if !mode.wants(row) {
        return;
    }
    let (start, all) = changes(frames);
    let count = all.len() as u64;
    let mut ours = Book::new(definition().tick, 65_536);
    let mut maps: [BTreeMap<i64, i64>; 2] = Default::default();
    start.iter().for_each(|change| put(&mut ours, change));
    start.iter().for_each(|change| map_put(&mut maps, change));
    let ours = Contender::new("ours", || {
        for change in arriving(&all) {
            put(&mut ours, change);
            let top = ours.top();
            black_box((top.bid.price, top.ask.price));
        }
        count
    });
    let map = Contender::new("BTreeMap", || {
        for change in arriving(&all) {
            map_put(&mut maps, change);
            black_box((
                maps[1].last_key_value().map(|(k, _)| *k),
                maps[0].first_key_value().map(|(k, _)| *k),
            ));
        }
        count
    });
    let rivals = vec![(map, Target::Faster(11.0))];
    #[cfg(not(feature = "peers"))]
    mode.compare(row, ours, rivals);
    #[cfg(feature = "peers")]
    {
        use hftbacktest::depth::{HashMapMarketDepth, L2MarketDepth, MarketDepth};
        let mut depth = HashMapMarketDepth::new(0.1, 0.001);
        let floats = |changes: &[Change]| -> Vec<(bool, f64, f64)> {
            changes
                .iter()
                .map(|(is_bid, l)| (*is_bid, l.price as f64 / 100.0, l.qty as f64 / 1000.0))
                .collect()
        };
        let set = |depth: &mut HashMapMarketDepth, (is_bid, price, qty): (bool, f64, f64)| {
            if is_bid {
                depth.update_bid_depth(price, qty, 0)
            } else {
                depth.update_ask_depth(price, qty, 0)
            };
        };
        floats(&start).into_iter().for_each(|change| set(&mut depth, change));
        let all = floats(&all);
        let hash = Contender::new("hftbacktest HashMapMarketDepth", move || {
            for change in arriving(&all) {
                set(&mut depth, *change);
                black_box((depth.best_bid_tick(), depth.best_ask_tick()));
            }
            count
        });
        let rivals = rivals.into_iter().chain([(hash, Target::Faster(5.0))]).collect();
        mode.compare(row, ours, rivals);
    }
}

/// Appends to a lane beside plain stores that walk memory of the same kind and size. A round stays within the
/// segments that were zeroed before it, as the helper thread sees to in a session.
fn journal(mode: Mode) {
    let row = "journal append 64 B";
    let dir = PathBuf::from("/dev/shm").join(format!("tickpath-bench-{}", std::process::id()));
    if !mode.wants(row) || std::fs::create_dir_all(&dir).is_err() {
        return;
    }
    const CALLS: u64 = 8_000;
    let spec = |lane, name: &str| LaneSpec {
        session: 1,
        lane,
        name: name.into(),
        segment_bytes: 1 << 20,
        segments: 8,
    };
    let lanes = Lane::create(&dir, spec(0, "bench"), "")
        .and_then(|a| Ok((a, Lane::create(&dir, spec(1, "plain"), "")?)));
    if let Ok((mut lane, plain)) = lanes {
        let shared = lane.shared();
        let path = dir.join("lane-01-plain");
        drop(plain);
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path);
        let map = file.and_then(|file| MmapOptions::new().map_raw(&file));
        if let Ok(map) = map {
            let mut at = 0;
            let position = Cell::new(0);
            let ours = Contender::new("ours", || {
                for i in 0..CALLS {
                    let _ = black_box(lane.append(Kind::Timer, Class::Audit, i, Cause::NONE, &[&[7; 64]]));
                }
                position.set(lane.position());
                CALLS
            })
            .before(|| {
                shared.reclaim(position.get());
            });
            let store = Contender::new("64 B store, same memory", || {
                for i in 0..CALLS {
                    at = (at + 104) % (7 << 20);
                    let record = black_box([i; 8]);
                    // SAFETY: the mapping is longer than any position, and nobody else uses it.
                    unsafe { map.as_mut_ptr().add(at).cast::<[u64; 8]>().write_unaligned(record) };
                }
                CALLS
            });
            mode.compare(row, ours, vec![(store, Target::Within(2.2))]);
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
}

/// Frames as a server sends them, one after the other.
fn wire(frames: &Frames) -> Vec<Vec<u8>> {
    frames.iter().map(server_frame).collect()
}

/// A socket that has one frame at a time.
struct OneByOne<'w> {
    frames: std::iter::Cycle<std::slice::Iter<'w, Vec<u8>>>,
    left: &'w [u8],
}

impl Read for OneByOne<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() {
            self.left = self.frames.next().map_or(&[], Vec::as_slice);
        }
        let len = self.left.len().min(out.len());
        out[..len].copy_from_slice(&self.left[..len]);
        self.left = &self.left[len..];
        Ok(len)
    }
}

impl Write for OneByOne<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One frame a read, the copy out of the socket included on every side.
fn framing(mode: Mode, frames: &Frames) {
    let row = "frame, bookTicker, one a read";
    if !mode.wants(row) {
        return;
    }
    let wire = wire(frames);
    let count = wire.len() as u64;
    let source = || OneByOne { frames: wire.iter().cycle(), left: &[] };
    let caps = Caps { frame_bytes: 1 << 20, message_bytes: 4 << 20, utf8: Utf8::LeftToReader };
    let (mut buffer, mut socket) = (FrameBuffer::new(caps), source());
    let ours = Contender::new("ours", move || {
        for _ in 0..count {
            let Ok(bytes) = socket.read(buffer.space()) else { unreachable!("never fails") };
            buffer.filled(bytes);
            match buffer.next_range() {
                Ok(Some(Next::Text(range))) => black_box(buffer.text(range).len()),
                other => unreachable!("{other:?}"),
            };
        }
        count
    });
    let (mut copy, mut socket) = (vec![0; 1 << 20], source());
    let memcpy = Contender::new("memcpy of the frame", move || {
        for _ in 0..count {
            black_box(socket.read(&mut copy).ok());
        }
        count
    });
    let config = WebSocketConfig::default().read_buffer_size(8192);
    let mut socket = WebSocket::from_raw_socket(source(), Role::Client, Some(config));
    let tungstenite = Contender::new("tungstenite, 8 KiB buffer", move || {
        for _ in 0..count {
            black_box(socket.read().ok());
        }
        count
    });
    mode.compare(row, ours, vec![(memcpy, Target::Within(2.5)), (tungstenite, Target::Faster(8.0))]);
}

/// Nobody updates keys here.
#[cfg(feature = "peers")]
struct NoUpdates;

#[cfg(feature = "peers")]
impl KeySchedule for NoUpdates {
    fn next_receive(&mut self) -> Result<Keys, TlsError> {
        Err(TlsError::KeyUpdate("not in a bench".into()))
    }

    fn next_send(&mut self) -> Result<Keys, TlsError> {
        Err(TlsError::KeyUpdate("not in a bench".into()))
    }
}

#[cfg(feature = "peers")]
fn secrets() -> ConnectionTrafficSecrets {
    ConnectionTrafficSecrets::Aes256Gcm { key: AeadKey::from([7; 32]), iv: Iv::from([9; 12]) }
}

#[cfg(feature = "peers")]
fn records() -> Records {
    let keys = || match Keys::new(0, &secrets()) {
        Ok(keys) => keys,
        Err(error) => unreachable!("{error}"),
    };
    Records::new(keys(), keys(), Box::new(NoUpdates), &[])
}

/// Records of a market frame in and of an order out, beside the same cipher on the same bytes.
#[cfg(feature = "peers")]
fn tls(mode: Mode) {
    const CALLS: u64 = 4_000;
    const IN: usize = 300;
    const OUT: usize = 280;
    let bare = |algorithm: &'static aws_lc_rs::aead::Algorithm| match aws_lc_rs::aead::UnboundKey::new(
        algorithm, &[7; 32],
    ) {
        Ok(key) => aws_lc_rs::aead::LessSafeKey::new(key),
        Err(error) => unreachable!("{error}"),
    };
    let key = bare(&aws_lc_rs::aead::AES_256_GCM);
    let nonce = |i: u64| {
        let mut bytes = [9; 12];
        bytes[4..].copy_from_slice(&i.to_be_bytes());
        aws_lc_rs::aead::Nonce::assume_unique_for_key(bytes)
    };
    let aad = || aws_lc_rs::aead::Aad::from([23, 3, 3, 1, 61]);
    if mode.wants("TLS record out, 280 B") {
        let mut out = vec![0; OUT + 64];
        let (sender, payload) = (RefCell::new(records()), [7; OUT]);
        let ours = Contender::new("ours", || {
            for _ in 0..CALLS {
                black_box(sender.borrow_mut().seal(black_box(&payload), &mut out).ok());
            }
            CALLS
        })
        .before(|| *sender.borrow_mut() = records());
        let mut plain = vec![7_u8; OUT + 1];
        let peer = Contender::new("bare AES-256-GCM, aws-lc-rs", || {
            for i in 0..CALLS {
                black_box(key.seal_in_place_separate_tag(nonce(i), aad(), &mut plain).is_ok());
            }
            CALLS
        });
        mode.compare("TLS record out, 280 B", ours, vec![(peer, Target::Within(1.25))]);
    }
    if mode.wants("TLS record in, 300 B") {
        let mut sender = records();
        let mut wire = vec![vec![0; IN + OVERHEAD]; CALLS as usize];
        for record in &mut wire {
            assert!(sender.seal(&[7; IN], record).is_ok_and(|bytes| bytes == Some(IN + OVERHEAD)));
        }
        let receiver = RefCell::new(records());
        let ours = Contender::new("ours, copy into the buffer included", || {
            let mut receiver = receiver.borrow_mut();
            for record in &wire {
                receiver.space()[..record.len()].copy_from_slice(record);
                receiver.filled(record.len());
                let found = receiver.next_received();
                assert!(matches!(found, Ok(Some(_))), "{found:?}");
            }
            CALLS
        })
        .before(|| *receiver.borrow_mut() = records());
        let mut sealed: Vec<Vec<u8>> = Vec::new();
        for i in 0..CALLS {
            let mut bytes = vec![7_u8; IN + 1];
            assert!(key.seal_in_place_append_tag(nonce(i), aad(), &mut bytes).is_ok());
            sealed.push(bytes);
        }
        let mut scratch = vec![0; IN + 17];
        let peer = Contender::new("bare AES-256-GCM, aws-lc-rs", || {
            for (i, record) in sealed.iter().enumerate() {
                scratch.copy_from_slice(record);
                assert!(key.open_in_place(nonce(i as u64), aad(), &mut scratch).is_ok());
            }
            CALLS
        });
        mode.compare("TLS record in, 300 B", ours, vec![(peer, Target::Within(1.25))]);
    }
}

/// An order's canonical text and its masked frame.
fn order_text(mode: Mode) {
    let row = "order text + masked frame";
    if !mode.wants(row) {
        return;
    }
    const CALLS: u64 = 20_000;
    let definition = definition();
    let Ok(instance) = InstanceId::new("001") else { unreachable!("a constant") };
    let mut encoder = OrderEncoder::new(2000, &[definition]);
    let mut out = vec![0; 2048];
    let mut number = 0;
    let mut id = ClientOrderId::new(instance, 1_700_000_000, 0);
    let ours = Contender::new("ours", || {
        for _ in 0..CALLS {
            number += 1;
            id = id.successor();
            let request = Request::Place {
                side: Side::Buy,
                time_in_force: TimeInForce::Ioc,
                price: 6_180_020 + (number as i64 % 100) * 10,
                qty: 14 + number as i64 % 50,
                is_reduce_only: false,
            };
            let text = encoder.encode(&request, &definition, &id, 1_702_555_533_821 + number);
            black_box(encode_masked(ClientFrame::Text, text, [1, 2, 3, 4], &mut out));
        }
        CALLS
    });
    let mut count = 0_u64;
    let format = Contender::new("format! + tungstenite frame", move || {
        for _ in 0..CALLS {
            count += 1;
            let price = 61_800.2 + (count % 100) as f64 / 10.0;
            let qty = 0.014 + (count % 50) as f64 / 1000.0;
            let id = format!("tp001-0s4v1tc-{count:08}");
            let text = format!(
                "{{\"id\":\"p{id}\",\"method\":\"order.place\",\"params\":{{\"newClientOrderId\":\"{id}\",\
                 \"newOrderRespType\":\"ACK\",\"price\":\"{price:.1}\",\"quantity\":\"{qty:.3}\",\
                 \"recvWindow\":2000,\"selfTradePreventionMode\":\"EXPIRE_MAKER\",\"side\":\"BUY\",\
                 \"symbol\":\"BTCUSDT\",\"timeInForce\":\"IOC\",\"timestamp\":{},\"type\":\"LIMIT\"}}}}",
                1_702_555_533_821 + count
            );
            let mut frame = Frame::message(text.into_bytes(), OpCode::Data(Data::Text), true);
            frame.header_mut().mask = Some([1, 2, 3, 4]);
            let mut out = Vec::with_capacity(frame.len());
            black_box((frame.format(&mut out).is_ok(), &out));
        }
        CALLS
    });
    mode.compare(row, ours, vec![(format, Target::Faster(9.0))]);
}

fn main() {
    let mode = Mode::from_arguments();
    println!("{}", title());
    let frames = Frames::load();
    let agg = Frames::repeated(AGG_TRADE, 1000);
    decode::<Ticker>(mode, "decode bookTicker, capture", &frames.of("@bookTicker"), 11.0, 7.5);
    decode::<AggTrade>(mode, "decode aggTrade", &agg, 11.0, 7.5);
    decode::<Depth>(mode, "decode depth, capture", &frames.of("@depth"), 10.0, 6.5);
    decode_without(mode, &frames.of("@depth"));
    framing(mode, &frames.of("@bookTicker"));
    book(mode, &frames);
    order_text(mode);
    #[cfg(feature = "peers")]
    tls(mode);
    journal(mode);
}
