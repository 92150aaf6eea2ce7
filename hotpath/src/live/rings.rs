//! The ring of market events: a header and its levels as one committed chunk of slots.

use crate::{
    market::{EVENT_SLOTS_MAX, HEADER_SLOTS, LEVELS_MAX, Level, MarketEvent, MarketHeader, Slot},
    pages,
    stage::feed::EventSink,
};
use rtrb::{Consumer, Producer};
use zerocopy::IntoBytes;

/// Slots of a ring: two of the largest events, so that one can wait while another is written.
const EVENT_RING_SLOTS: usize = 4 * EVENT_SLOTS_MAX;

const _: () = assert!(EVENT_RING_SLOTS >= 2 * EVENT_SLOTS_MAX, "a frame crosses whole or not at all");

/// A ring of market events. Full: the event is refused whole and counted by the sender.
pub fn event_ring() -> (EventSender, EventRing) {
    let (producer, consumer) = pages::ring(EVENT_RING_SLOTS, Slot::default());
    (
        EventSender { producer },
        EventRing { consumer, header: MarketHeader::default(), levels: pages::zeros(LEVELS_MAX) },
    )
}

/// The writing end.
pub struct EventSender {
    producer: Producer<Slot>,
}

impl EventSink for EventSender {
    const IS_APART: bool = true;

    fn has_room(&self) -> bool {
        self.producer.slots() >= EVENT_SLOTS_MAX
    }

    fn push(&mut self, header: &MarketHeader, levels: &[Level]) -> bool {
        let Ok(chunk) = self.producer.write_chunk_uninit(HEADER_SLOTS + levels.len()) else { return false };
        let header = header_slots(header);
        chunk.fill_from_iter(header.into_iter().chain(levels.iter().map(|l| [l.price as u64, l.qty as u64])));
        true
    }
}

fn header_slots(header: &MarketHeader) -> [Slot; HEADER_SLOTS] {
    let mut slots = [[0; 2]; HEADER_SLOTS];
    slots.as_mut_bytes().copy_from_slice(header.as_bytes());
    slots
}

/// The reading end.
pub struct EventRing {
    consumer: Consumer<Slot>,
    header: MarketHeader,
    levels: Vec<Level>,
}

impl EventRing {
    /// The next event, `None` when there is none. Events are committed whole.
    pub fn pop(&mut self) -> Option<MarketEvent<'_>> {
        let mut slots = [[0; 2]; HEADER_SLOTS];
        self.consumer.pop_entire_slice(&mut slots).ok()?;
        self.header.as_mut_bytes().copy_from_slice(slots.as_bytes());
        let count = self.header.levels();
        let chunk = self.consumer.read_chunk(count);
        let Ok(chunk) = chunk else { unreachable!("an event of {count} levels was committed whole") };
        for (level, slot) in self.levels.iter_mut().zip(chunk) {
            *level = Level { price: slot[0] as i64, qty: slot[1] as i64 };
        }
        Some(MarketEvent { header: &self.header, levels: &self.levels[..count] })
    }

    /// Slots of the ring and slots in use.
    pub fn occupancy(&self) -> (usize, usize) {
        (EVENT_RING_SLOTS, self.consumer.slots())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_cross_whole_or_not_at_all() {
        let (mut sender, mut ring) = event_ring();
        let levels: Vec<Level> = (0..LEVELS_MAX as i64).map(|price| Level { price, qty: -price }).collect();
        let header = MarketHeader { kind: 1, bids: LEVELS_MAX as u16, cause: 9, ..MarketHeader::default() };
        let mut pushed = 0;
        while sender.has_room() {
            assert!(sender.push(&header, &levels));
            pushed += 1;
        }
        assert!(pushed >= 2 && !sender.push(&header, &levels));
        for _ in 0..pushed {
            let event = ring.pop().unwrap();
            assert_eq!((event.header, event.levels), (&header, &levels[..]));
        }
        assert!(ring.pop().is_none());
    }
}
