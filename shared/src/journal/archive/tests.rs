use super::*;
use crate::{
    journal::{Lane, LaneReader, LaneSpec, lane_path},
    record::{Cause, Class, Kind},
};

/// Records of a lane as a writer leaves them.
fn sample_records(dir: &Path, count: u64) -> Vec<RecordBuf> {
    let spec = LaneSpec { session: 9, lane: 3, name: "engine".into(), segment_bytes: 65_536, segments: 8 };
    let mut writer = Lane::create(dir, spec, "metadata").unwrap();
    for i in 0..count {
        let payload = vec![i as u8; (i % 97) as usize];
        writer.append(Kind::Frame, Class::Audit, i, Cause::NONE, &[&payload]).unwrap();
    }
    let mut reader = LaneReader::open(&lane_path(dir, 3, "engine")).unwrap();
    let mut out = Vec::new();
    let mut buf = RecordBuf::default();
    while reader.next_into(&mut buf).unwrap().is_some() {
        out.push(buf.clone());
    }
    out
}

fn write(path: &Path, records: &[RecordBuf], block: usize) {
    let (mut writer, _) = ArchiveWriter::open(path, 9, 3, "metadata").unwrap();
    for group in records.chunks(block) {
        group.iter().for_each(|r| {
            writer.push(r);
        });
        writer.write_block(group.len() as u64).unwrap();
    }
    writer.sync().unwrap();
}

fn read_all(path: &Path) -> Result<u64, ArchiveError> {
    let mut reader = ArchiveReader::open(path)?;
    let mut buf = RecordBuf::default();
    while reader.next_into(&mut buf)?.is_some() {}
    Ok(reader.sequence())
}

#[test]
fn what_was_written_is_read_and_writing_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let records = sample_records(dir.path(), 300);
    let path = dir.path().join("a.tpa");
    write(&path, &records[..200], 64);
    assert_eq!(read_all(&path).unwrap(), 200);
    write(&path, &records[200..], 64);
    assert_eq!((read_all(&path).unwrap(), ArchiveReader::end_of(&path).unwrap()), (300, 300));
}

/// The system tells of a lost write once: what was written since the last good sync is cut off and written again.
#[test]
fn what_a_failed_sync_was_about_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let records = sample_records(dir.path(), 90);
    let path = dir.path().join("a.tpa");
    let (mut writer, _) = ArchiveWriter::open(&path, 9, 3, "metadata").unwrap();
    let push = |writer: &mut ArchiveWriter, records: &[RecordBuf]| {
        records.iter().for_each(|record| {
            writer.push(record);
        });
    };
    push(&mut writer, &records[..30]);
    writer.write_block(30).unwrap();
    writer.sync().unwrap();
    let durable = std::fs::metadata(&path).unwrap().len();

    push(&mut writer, &records[30..60]);
    writer.write_block(60).unwrap();
    push(&mut writer, &records[60..70]);
    let refused = writer.sync_by(|_| Err(io::Error::other("input/output error")));
    assert!(matches!(refused, Err(ArchiveError::Io { .. })), "{refused:?}");
    assert_eq!((writer.sequence(), writer.pending_bytes()), (30, 0));

    push(&mut writer, &records[30..50]);
    writer.write_block(50).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() > durable);
    writer.sync().unwrap();
    assert_eq!(read_all(&path).unwrap(), 50);
    push(&mut writer, &records[50..]);
    writer.write_block(90).unwrap();
    writer.sync().unwrap();
    assert_eq!(read_all(&path).unwrap(), 90);
}

#[test]
fn a_file_cut_at_any_byte_reopens_to_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let records = sample_records(dir.path(), 30);
    let path = dir.path().join("a.tpa");
    write(&path, &records, 10);
    let whole = std::fs::read(&path).unwrap();
    for len in FILE_HEAD_BYTES + 8..whole.len() {
        std::fs::write(&path, &whole[..len]).unwrap();
        let (_, report) = ArchiveWriter::open(&path, 9, 3, "metadata").unwrap();
        assert_eq!(report.sequence % 10, 0, "cut at {len}");
        assert_eq!(read_all(&path).unwrap(), report.sequence);
    }
}

#[test]
fn every_flipped_bit_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let records = sample_records(dir.path(), 30);
    let path = dir.path().join("a.tpa");
    write(&path, &records, 10);
    let whole = std::fs::read(&path).unwrap();
    let first_block = FILE_HEAD_BYTES + "metadata".len();
    for at in first_block..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bytes).unwrap();
        // A length that grew past the end looks like a torn tail: fewer records, never wrong ones.
        match read_all(&path) {
            Err(ArchiveError::Damaged { .. }) => {}
            Ok(sequence) => assert!(sequence < 30, "flip at {at} went unnoticed"),
            Err(other) => panic!("flip at {at}: {other}"),
        }
    }
}

#[test]
fn a_block_left_out_breaks_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let records = sample_records(dir.path(), 20);
    let path = dir.path().join("a.tpa");
    write(&path, &records[..10], 10);
    let first = std::fs::read(&path).unwrap().len();
    write(&path, &records[10..], 5);
    let mut bytes = std::fs::read(&path).unwrap();
    let second_stored = u32::from_le_bytes(bytes[first + 12..first + 16].try_into().unwrap()) as usize;
    bytes.drain(first..first + BLOCK_HEAD_BYTES + second_stored);
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(read_all(&path), Err(ArchiveError::Damaged { why, .. }) if why.contains("chain")));
}
