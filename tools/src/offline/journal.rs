//! Looking into journals: counts, records as text, verification.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tickpath_shared::{
    journal::{LaneStream, RecordBuf, list_sessions, open_session},
    paths::DataDir,
    record::{
        BalanceRecord, BookStateRecord, BreakerRecord, ChangeRecord, Class, CommandRecord,
        CommandResultRecord, DayRecord, DigestRecord, FillRecord, FrameMeta, GapRecord, HeldRecord,
        IntentRecord, KillRecord, Kind, LinkRecord, OpenOrderRecord, OrderRecord, OrderReportRecord,
        OrderStateRecord, OrderWrittenRecord, ParameterRecord, PassRecord, PositionRecord, PressureRecord,
        ReconciledRecord, Record, RefusalRecord, SessionEventRecord, SignalRecord, SnapshotMeta,
        StopReportRecord, TimeRecord, TopOfBookRecord, TradingStateRecord,
    },
    types::InstrumentDefinition,
};
use zerocopy::{FromBytes, IntoBytes};

/// Which records are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Session; the newest when absent.
    pub session: Option<u64>,
    /// Name of a lane.
    pub lane: Option<String>,
    /// Label of a kind.
    pub kind: Option<String>,
}

/// The session asked for, or the newest.
///
/// # Errors
///
/// When the directory holds none.
pub fn choose_session(data: &DataDir, session: Option<u64>) -> Result<u64> {
    let sessions = list_sessions(data)?;
    match session {
        Some(session) if sessions.contains(&session) => Ok(session),
        Some(session) => bail!("session {session} is not among {sessions:?}"),
        None => sessions.last().copied().with_context(|| format!("no session in {}", data.root().display())),
    }
}

/// What a lane holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LaneStat {
    /// Session.
    pub session: u64,
    /// Lane number.
    pub lane: u16,
    /// Lane name.
    pub name: String,
    /// Records.
    pub records: u64,
    /// Bytes of the records.
    pub bytes: u64,
    /// Session time of the first and the last record.
    pub time_ns: [u64; 2],
    /// Records by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// What stopped the reading, if anything did.
    pub error: Option<String>,
}

/// Reads every lane of every session to its end or to the first record that is not sound.
///
/// # Errors
///
/// When a session cannot be opened.
pub fn stat(data: &DataDir) -> Result<Vec<LaneStat>> {
    let mut stats = Vec::new();
    for session in list_sessions(data)? {
        for stream in open_session(data, session)? {
            stats.push(stat_lane(session, stream));
        }
    }
    Ok(stats)
}

fn stat_lane(session: u64, mut stream: LaneStream) -> LaneStat {
    let mut stat =
        LaneStat { session, lane: stream.lane(), name: stream.name().to_owned(), ..LaneStat::default() };
    let mut buf = RecordBuf::default();
    loop {
        match stream.next_into(&mut buf) {
            Ok(Some(())) => {
                let header = buf.record().header;
                stat.records += 1;
                stat.bytes += u64::from(header.length);
                stat.time_ns = [if stat.records == 1 { header.time } else { stat.time_ns[0] }, header.time];
                *stat
                    .kinds
                    .entry(Kind::from_repr(header.kind).map_or("unknown", Kind::label))
                    .or_default() += 1;
            }
            Ok(None) => return stat,
            Err(e) => {
                stat.error = Some(e.to_string());
                return stat;
            }
        }
    }
}

/// Hands every record that passes the filter to `out`, lane by lane.
///
/// # Errors
///
/// The first record that is not sound, or a session that cannot be opened.
pub fn cat(data: &DataDir, filter: &Filter, mut out: impl FnMut(&Record<'_>)) -> Result<()> {
    let session = choose_session(data, filter.session)?;
    let kind = filter.kind.as_deref().map(find_kind).transpose()?;
    let mut buf = RecordBuf::default();
    for mut stream in open_session(data, session)? {
        if filter.lane.as_ref().is_some_and(|name| name != stream.name()) {
            continue;
        }
        while stream.next_into(&mut buf)?.is_some() {
            let record = buf.record();
            if kind.is_none_or(|kind| record.kind() == Some(kind)) {
                out(&record);
            }
        }
    }
    Ok(())
}

fn find_kind(label: &str) -> Result<Kind> {
    let known = || Kind::ALL.iter().map(|k| k.label()).collect::<Vec<_>>().join(", ");
    Kind::ALL
        .iter()
        .copied()
        .find(|k| k.label() == label)
        .with_context(|| format!("kind {label:?}; known: {}", known()))
}

/// A record as one JSON object.
pub fn to_json(record: &Record<'_>) -> Value {
    let header = &record.header;
    let cause = record.cause();
    let mut value = json!({
        "lane": header.lane,
        "sequence": header.sequence,
        "time_ns": header.time,
        "class": Class::from_repr(header.class).map_or("unknown", Class::label),
        "kind": record.kind().map_or("unknown", Kind::label),
    });
    if cause.0 != 0 {
        value["cause"] = json!({"lane": cause.lane(), "number": cause.number()});
    }
    if let Some((body, text)) = body_json(record) {
        value["body"] = body;
        if !text.is_empty() {
            value["text"] = Value::String(String::from_utf8_lossy(text).into_owned());
        }
    }
    value
}

fn part<'a, T>(record: &Record<'a>) -> Option<(Value, &'a [u8])>
where
    T: FromBytes + IntoBytes + Serialize,
{
    let body = serde_json::to_value(record.body::<T>()?).ok()?;
    Some((body, record.text_after::<T>()))
}

fn body_json<'a>(record: &Record<'a>) -> Option<(Value, &'a [u8])> {
    match record.kind()? {
        Kind::Pad | Kind::Consumed | Kind::Timer => None,
        Kind::Frame | Kind::PrivateFrame => part::<FrameMeta>(record),
        Kind::Snapshot => part::<SnapshotMeta>(record),
        Kind::Definition => part::<InstrumentDefinition>(record),
        Kind::Command => part::<CommandRecord>(record),
        Kind::CommandResult => part::<CommandResultRecord>(record),
        Kind::TradingState => part::<TradingStateRecord>(record),
        Kind::Kill => part::<KillRecord>(record),
        Kind::Link => part::<LinkRecord>(record),
        Kind::StartPosition => part::<PositionRecord>(record),
        Kind::OpenOrder => part::<OpenOrderRecord>(record),
        Kind::VenueTrade | Kind::Fill => part::<FillRecord>(record),
        Kind::Reconciled => part::<ReconciledRecord>(record),
        Kind::Time => part::<TimeRecord>(record),
        Kind::Pressure => part::<PressureRecord>(record),
        Kind::OrderReport => part::<OrderReportRecord>(record),
        Kind::StopReport => part::<StopReportRecord>(record),
        Kind::Intent => part::<IntentRecord>(record),
        Kind::Order | Kind::Cancel | Kind::Amend | Kind::Amended => part::<OrderRecord>(record),
        Kind::Change => part::<ChangeRecord>(record),
        Kind::OrderWritten => part::<OrderWrittenRecord>(record),
        Kind::OrderState => part::<OrderStateRecord>(record),
        Kind::Refusal => part::<RefusalRecord>(record),
        Kind::BookState => part::<BookStateRecord>(record),
        Kind::Digest => part::<DigestRecord>(record),
        Kind::Gap => part::<GapRecord>(record),
        Kind::SessionEvent => part::<SessionEventRecord>(record),
        Kind::TopOfBook => part::<TopOfBookRecord>(record),
        Kind::Signal => part::<SignalRecord>(record),
        Kind::Pass => part::<PassRecord>(record),
        Kind::Breaker => part::<BreakerRecord>(record),
        Kind::Day => part::<DayRecord>(record),
        Kind::Parameter => part::<ParameterRecord>(record),
        Kind::Held => part::<HeldRecord>(record),
        Kind::Balance => part::<BalanceRecord>(record),
    }
}
