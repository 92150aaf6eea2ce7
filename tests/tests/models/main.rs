//! Models of what crosses threads and processes, run by a model checker over every interleaving. The code
//! checked is the journal's own; only the atomics are the checker's.

mod ids;

use loom::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
use tickpath_shared::journal::publish::{
    Word, is_segment, publish_record, published_record, release_segment, was_segment, withdraw_segment,
};

struct Loom32(AtomicU32);
struct Loom64(AtomicU64);

impl Word<u32> for Loom32 {
    fn load_acquire(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
    fn store_release(&self, value: u32) {
        self.0.store(value, Ordering::Release);
    }
    fn fence() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

impl Word<u64> for Loom64 {
    fn load_acquire(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
    fn store_release(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
    fn fence() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// Two records of two payload words each: a reader that sees a length sees the payload.
#[test]
fn a_published_record_is_whole() {
    loom::model(|| {
        let lengths = Arc::new([Loom32(AtomicU32::new(0)), Loom32(AtomicU32::new(0))]);
        let payload: Arc<[AtomicU64; 4]> = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let writer = {
            let (lengths, payload) = (Arc::clone(&lengths), Arc::clone(&payload));
            loom::thread::spawn(move || {
                for record in 0..2 {
                    payload[2 * record].store(7 + record as u64, Ordering::Relaxed);
                    payload[2 * record + 1].store(9 + record as u64, Ordering::Relaxed);
                    publish_record(&lengths[record], 56);
                }
            })
        };
        for record in 0..2 {
            if published_record(&lengths[record]).is_none() {
                break;
            }
            assert_eq!(payload[2 * record].load(Ordering::Relaxed), 7 + record as u64);
            assert_eq!(payload[2 * record + 1].load(Ordering::Relaxed), 9 + record as u64);
        }
        writer.join().unwrap();
    });
}

/// The reclaimer zeroes a segment and hands it on; a writer that may use it finds it zeroed.
#[test]
fn a_released_segment_is_zeroed() {
    loom::model(|| {
        let generation = Arc::new(Loom64(AtomicU64::new(1)));
        let word = Arc::new(AtomicU64::new(55));
        let reclaimer = {
            let (generation, word) = (Arc::clone(&generation), Arc::clone(&word));
            loom::thread::spawn(move || {
                withdraw_segment(&*generation);
                word.store(0, Ordering::Relaxed);
                release_segment(&*generation, 8);
            })
        };
        if is_segment(&*generation, 8) {
            assert_eq!(word.load(Ordering::Relaxed), 0);
            word.store(66, Ordering::Relaxed);
        }
        reclaimer.join().unwrap();
    });
}

/// A viewer that copies and then finds the generation unchanged has not seen the zeroing or what followed.
#[test]
fn a_viewer_notices_that_it_was_lapped() {
    loom::model(|| {
        let generation = Arc::new(Loom64(AtomicU64::new(1)));
        let word = Arc::new(AtomicU64::new(55));
        let reclaimer = {
            let (generation, word) = (Arc::clone(&generation), Arc::clone(&word));
            loom::thread::spawn(move || {
                withdraw_segment(&*generation);
                word.store(0, Ordering::Relaxed);
                release_segment(&*generation, 8);
            })
        };
        if is_segment(&*generation, 0) {
            let copy = word.load(Ordering::Relaxed);
            if was_segment(&*generation, 0) {
                assert_eq!(copy, 55);
            }
        }
        reclaimer.join().unwrap();
    });
}

/// A single-producer ring of one slot, as every ring between stages is used: commit, then take.
#[test]
fn a_ring_hands_over_whole_messages() {
    loom::model(|| {
        let head = Arc::new(AtomicU64::new(0));
        let slot: Arc<[AtomicU64; 2]> = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let producer = {
            let (head, slot) = (Arc::clone(&head), Arc::clone(&slot));
            loom::thread::spawn(move || {
                slot[0].store(1, Ordering::Relaxed);
                slot[1].store(2, Ordering::Relaxed);
                head.store(1, Ordering::Release);
            })
        };
        if head.load(Ordering::Acquire) == 1 {
            assert_eq!((slot[0].load(Ordering::Relaxed), slot[1].load(Ordering::Relaxed)), (1, 2));
        }
        producer.join().unwrap();
    });
}

/// A look at the kill word that follows its store sees it, so that no order write begins after that look.
#[test]
fn a_look_after_the_store_sees_the_kill_word() {
    loom::model(|| {
        let word = Arc::new(Loom64(AtomicU64::new(0)));
        let is_stored = Arc::new(AtomicU32::new(0));
        let killer = {
            let (word, is_stored) = (Arc::clone(&word), Arc::clone(&is_stored));
            loom::thread::spawn(move || {
                word.store_release(1);
                is_stored.store(1, Ordering::Release);
            })
        };
        for _ in 0..2 {
            // One turn of the gateway: what has happened by now, the look, then perhaps an order.
            let was_stored = is_stored.load(Ordering::Acquire) == 1;
            let is_order_written = word.load_acquire() == 0;
            assert!(!(was_stored && is_order_written), "an order left after the kill");
        }
        killer.join().unwrap();
    });
}
