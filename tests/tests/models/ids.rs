//! Client order ids over restarts with a clock that is set ahead and back: every one is greater than all before it, so
//! that none comes twice.

use tickpath_shared::types::{ClientOrderId, EpochFile, InstanceId};

const SESSIONS: u64 = 1_000;
const ORDERS: u64 = 1_000_000;

#[test]
fn a_thousand_million_ids_are_all_different() {
    let dir = tempfile::tempdir().unwrap();
    let file = EpochFile::new(dir.path());
    let instance = InstanceId::new("001").unwrap();
    let (mut last, mut random) = (*ClientOrderId::new(instance, 0, 0).as_padded(), 1_u64);
    for _ in 0..SESSIONS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // An hour or so around the same moment: mostly earlier than the session before.
        let clock = 1_763_700_000 + (random >> 33) % 7_200;
        let mut id = ClientOrderId::new(instance, file.claim(clock).unwrap(), 1);
        let mut is_sound = true;
        for _ in 0..ORDERS {
            is_sound &= *id.as_padded() > last;
            last = *id.as_padded();
            id = id.successor();
        }
        assert!(is_sound, "an id is not greater than the one before it, before {id:?}");
    }
}
