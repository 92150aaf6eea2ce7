use super::*;
use crate::record::{Cause, Class, GapRecord, Kind};
use proptest::prelude::*;
use std::path::Path;

const SEGMENT: usize = 4096;

fn spec(segments: usize) -> LaneSpec {
    LaneSpec { session: 1, lane: 2, name: "gateway".into(), segment_bytes: SEGMENT, segments }
}

fn lane(dir: &Path, segments: usize) -> (LaneWriter, LaneReader) {
    let writer = Lane::create(dir, spec(segments), "about").unwrap();
    (writer, LaneReader::open(&lane_path(dir, 2, "gateway")).unwrap())
}

fn drain(reader: &mut LaneReader) -> Vec<(u16, Vec<u8>)> {
    let mut out = Vec::new();
    let mut buf = RecordBuf::default();
    while reader.next_into(&mut buf).unwrap().is_some() {
        out.push((buf.record().header.kind, buf.record().payload.to_vec()));
    }
    out
}

#[test]
fn records_cross_segments_and_come_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = lane(dir.path(), 8);
    for i in 0..100_u64 {
        let payload = vec![i as u8; 150];
        assert_eq!(writer.append(Kind::Frame, Class::Audit, i, Cause::NONE, &[&payload]), Ok(i + 1));
    }
    let read = drain(&mut reader);
    assert_eq!(read.len(), 100);
    assert!(read.iter().enumerate().all(|(i, (_, p))| p == &vec![i as u8; 150]));
    assert_eq!(reader.metadata(), "about");
}

#[test]
fn watermarks_drop_telemetry_then_inputs_and_keep_audit() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = lane(dir.path(), 16);
    let put =
        |writer: &mut LaneWriter, class| writer.append(Kind::Frame, class, 0, Cause::NONE, &[&[0; 3000]]);
    while writer.pressure() == Pressure::Low {
        put(&mut writer, Class::Audit).unwrap();
    }
    assert_eq!(writer.pressure(), Pressure::DropTelemetry);
    assert_eq!(put(&mut writer, Class::Telemetry), Err(AppendError::Dropped));
    let before = writer.sequence();
    put(&mut writer, Class::Input).unwrap();
    assert_eq!(writer.sequence(), before + 1, "dropped telemetry takes no sequence number");
    while writer.pressure() < Pressure::AuditOnly {
        put(&mut writer, Class::Input).unwrap();
    }
    assert_eq!(put(&mut writer, Class::Input), Err(AppendError::Skipped));
    assert_eq!(put(&mut writer, Class::Input), Err(AppendError::Skipped));
    put(&mut writer, Class::Audit).unwrap();
    let read = drain(&mut reader);
    let (kind, payload) = &read[read.len() - 2];
    assert_eq!(*kind, Kind::Gap as u16);
    let gap = <GapRecord as zerocopy::FromBytes>::read_from_bytes(payload).unwrap();
    assert_eq!(gap.skipped, 2);
    while put(&mut writer, Class::Audit).is_ok() {}
    assert_eq!(writer.pressure(), Pressure::Exhausted);
}

#[test]
fn acknowledged_segments_come_back_and_exhaustion_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = lane(dir.path(), 8);
    let shared = writer.shared();
    for round in 0..50 {
        while writer.append(Kind::Frame, Class::Audit, 0, Cause::NONE, &[&[round; 700]]).is_ok() {}
        assert_eq!(writer.pressure(), Pressure::Exhausted);
        assert!(drain(&mut reader).iter().all(|(_, p)| p == &vec![round; 700]));
        assert!(shared.reclaim(reader.position()));
        writer.append(Kind::Frame, Class::Audit, 0, Cause::NONE, &[&[round + 1; 700]]).unwrap();
    }
}

#[test]
fn an_acknowledgement_beyond_what_is_written_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut reader) = lane(dir.path(), 8);
    writer.append(Kind::Frame, Class::Audit, 0, Cause::NONE, &[&[1; 100]]).unwrap();
    assert!(!writer.shared().reclaim(u64::MAX));
    assert!(!writer.shared().reclaim(2 * SEGMENT as u64));
    assert_eq!(drain(&mut reader).len(), 1);
}

#[test]
fn a_slow_viewer_is_told_that_it_was_lapped() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut archiver) = lane(dir.path(), 8);
    let mut viewer = LaneReader::open(&lane_path(dir.path(), 2, "gateway")).unwrap();
    while writer.append(Kind::Frame, Class::Audit, 0, Cause::NONE, &[&[1; 700]]).is_ok() {}
    drain(&mut archiver);
    writer.shared().reclaim(archiver.position());
    let mut buf = RecordBuf::default();
    assert!(matches!(viewer.next_into(&mut buf), Err(ReadError::Lapped { .. })));
    viewer.seek_oldest();
    assert!(viewer.next_into(&mut buf).unwrap().is_some());
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = lane_path(dir.path(), 2, "gateway");
    {
        let (mut writer, _) = lane(dir.path(), 8);
        for i in 0..20_u64 {
            writer.append(Kind::Frame, Class::Audit, i, Cause::NONE, &[&[7; 33]]).unwrap();
        }
    }
    let whole = std::fs::read(&path).unwrap();
    let first = layout::SEGMENTS_AT + layout::SEGMENT_HEAD_BYTES;
    let stride = (crate::record::HEADER_BYTES + 33).next_multiple_of(8);
    for at in (first..first + 5 * stride).filter(|at| (at - first) % stride < 73) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let mut reader = LaneReader::open(&path).unwrap();
        let mut buf = RecordBuf::default();
        let result = loop {
            match reader.next_into(&mut buf) {
                Ok(Some(())) => {}
                Ok(None) => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        assert!(
            matches!(result, Err(ReadError::Damaged { .. })),
            "byte {} of a record",
            (at - first) % stride
        );
    }
}

#[test]
fn a_record_larger_than_a_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _) = lane(dir.path(), 8);
    let large = vec![0; SEGMENT];
    assert_eq!(
        writer.append(Kind::Frame, Class::Audit, 0, Cause::NONE, &[&large]),
        Err(AppendError::TooLarge)
    );
}

#[test]
fn a_file_of_another_layout_is_refused_with_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = lane_path(dir.path(), 2, "gateway");
    drop(lane(dir.path(), 8));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 7;
    std::fs::write(&path, &bytes).unwrap();
    let text = LaneReader::open(&path).err().unwrap().to_string();
    assert!(text.contains("lane layout 7, this build reads 1"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_mix_of_writes_reads_and_reclaims_keeps_order(steps in prop::collection::vec((0_usize..1500, any::<bool>()), 1..200)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = lane(dir.path(), 8);
        let shared = writer.shared();
        let (mut written, mut read) = (Vec::new(), Vec::new());
        for (len, is_drained) in steps {
            let payload = vec![(len % 251) as u8; len];
            if writer.append(Kind::Frame, Class::Audit, 0, Cause::NONE, &[&payload]).is_ok() {
                written.push(payload);
            }
            if is_drained {
                read.extend(drain(&mut reader).into_iter().map(|(_, p)| p));
                prop_assert!(shared.reclaim(reader.position()));
            }
        }
        read.extend(drain(&mut reader).into_iter().map(|(_, p)| p));
        prop_assert_eq!(read, written);
    }
}
