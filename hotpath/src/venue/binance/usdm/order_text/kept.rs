//! The text of the last plain order of its kind. Of the next one nearly everything is the same: where the numbers
//! are as long as before, only their digits are written over it.

use crate::{
    book::Divisor,
    wire::digits::{self, Small},
};
use tickpath_shared::types::{ClientOrderId, InstrumentDefinition, decimal};

/// Texts that are longer are not kept.
const KEPT_BYTES: usize = 512;
/// Digits of the venue's time that change; those before them do once in a day.
const LATE_DIGITS: usize = 8;
const LATE: u64 = 10_u64.pow(LATE_DIGITS as u32);
/// Bytes of an id in its first word: of the instance, and digits of the session that hardly ever change.
const ID_HEAD: usize = 8;

const BEFORE_ID: &[u8] = b"{\"id\":\"p";
/// Bytes of an id in its last word, and the two that follow them.
const ID_TAIL: usize = ClientOrderId::LEN - 2 * ID_HEAD;
const BEHIND_ID: u64 = u16::from_le_bytes(*b"\",") as u64;
const BETWEEN_IDS: &[u8] = b"\",\"method\":\"order.place\",\"params\":{\"newClientOrderId\":\"";
const BEFORE_PRICE: &[u8] = b"\",\"newOrderRespType\":\"ACK\",\"price\":\"";
/// What stands between price and quantity, and room that the quantity overwrites.
const BEFORE_QTY: &[u8; 16] = b"\",\"quantity\":\"  ";
const BEHIND_QTY: &[u8; 8] = b"\",\"recvW";
const BEHIND_TIME: &[u8] = b",\"type\":\"LIMIT\"}}";

const FIRST_ID: usize = BEFORE_ID.len();
const SECOND_ID: usize = FIRST_ID + ClientOrderId::LEN + BETWEEN_IDS.len();
const PRICE: usize = SECOND_ID + ClientOrderId::LEN + BEFORE_PRICE.len();

/// An amount in the text: how long it is and how it is written.
#[derive(Clone, Copy)]
struct Amount {
    len: usize,
    scale: u8,
    places: u8,
    unit: Divisor,
}

impl Amount {
    fn new(scale: u8, places: u8, len: usize) -> Self {
        Self { len, scale, places, unit: Divisor::new(decimal::pow10(scale - places)) }
    }

    /// The digits, when they are written as those that are there and take as much room.
    #[inline(always)]
    fn follow(&self, value: i64, scale: u8, places: u8) -> Option<Small> {
        let digits = Small::new(self.unit.quotient(value)?, places)?;
        (digits.len() == self.len && self.scale == scale && self.places == places).then_some(digits)
    }
}

/// The text of the last order of an instrument, a side, a time in force and a kind of reduction.
#[derive(Clone)]
pub(super) struct KeptText {
    bytes: [u8; KEPT_BYTES],
    /// 0 while nothing is kept.
    len: usize,
    price: Amount,
    qty: Amount,
    /// The venue's time without its late digits.
    time: u64,
}

impl KeptText {
    /// No text.
    pub(super) const EMPTY: Self = Self {
        bytes: [0; KEPT_BYTES],
        len: 0,
        price: Amount { len: 0, scale: 0, places: 0, unit: Divisor::ONE },
        qty: Amount { len: 0, scale: 0, places: 0, unit: Divisor::ONE },
        time: 0,
    };

    /// The text.
    #[inline(always)]
    pub(super) fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Makes it the text of the next order. False where more than digits would differ: it is what it was then.
    #[inline(always)]
    pub(super) fn follow(
        &mut self,
        definition: &InstrumentDefinition,
        id: &ClientOrderId,
        price: i64,
        qty: i64,
        venue_ms: u64,
    ) -> bool {
        let InstrumentDefinition { price_scale, price_places, qty_scale, qty_places, .. } = *definition;
        let Some(price) = self.price.follow(price, price_scale, price_places) else { return false };
        let Some(qty) = self.qty.follow(qty, qty_scale, qty_places) else { return false };
        debug_assert_eq!(id.len(), ClientOrderId::LEN, "orders that we place have ids of ours");
        let id = id.words();
        let is_same = self.len > 0
            && self.bytes[FIRST_ID..FIRST_ID + ID_HEAD] == id[0].to_le_bytes()
            && id[2] >> (8 * ID_TAIL) == 0
            && venue_ms / LATE == self.time;
        if is_same {
            self.write(id, price, qty, venue_ms);
        }
        is_same
    }

    #[inline(always)]
    fn write(&mut self, id: [u64; 3], price: Small, qty: Small, venue_ms: u64) {
        // Words of the id as it was stored; the last one has room for what follows an id on both places.
        let (middle, last) = (id[1].to_le_bytes(), (id[2] | BEHIND_ID << (8 * ID_TAIL)).to_le_bytes());
        for at in [FIRST_ID + ID_HEAD, SECOND_ID + ID_HEAD] {
            self.put(at, &middle);
            self.put(at + 8, &last);
        }
        // Amounts are written in full words; what they overwrite behind themselves is put back.
        let (price_end, qty_at) = (PRICE + price.len(), PRICE + price.len() + BEFORE_QTY.len() - 2);
        self.number(PRICE, price);
        self.put(price_end, BEFORE_QTY);
        self.number(qty_at, qty);
        self.put(qty_at + qty.len(), BEHIND_QTY);
        self.put(self.len - BEHIND_TIME.len() - LATE_DIGITS, &digits::eight(venue_ms % LATE));
    }

    /// Bytes within the text, as everything is that is put back.
    #[inline(always)]
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    #[inline(always)]
    fn number(&mut self, at: usize, number: Small) {
        let Some(room) = self.bytes[at..].first_chunk_mut() else {
            unreachable!("a text leaves room for a number behind it")
        };
        number.write(room);
    }

    /// Keeps the text of an order of ours for the next one.
    #[cold]
    pub(super) fn keep(&mut self, definition: &InstrumentDefinition, text: &[u8], venue_ms: u64) {
        self.len = 0;
        let is_usual = text.len() + digits::ROOM < KEPT_BYTES
            && venue_ms >= LATE
            && text.get(..PRICE).is_some_and(|head| head.ends_with(BEFORE_PRICE))
            && text.ends_with(BEHIND_TIME);
        if !is_usual {
            return;
        }
        let end = |text: &[u8]| text.iter().position(|byte| *byte == b'"');
        let Some(price) = end(&text[PRICE..]) else { return };
        let Some(qty) = text.get(PRICE + price + BEFORE_QTY.len() - 2..).and_then(end) else { return };
        self.price = Amount::new(definition.price_scale, definition.price_places, price);
        self.qty = Amount::new(definition.qty_scale, definition.qty_places, qty);
        self.bytes[..text.len()].copy_from_slice(text);
        (self.len, self.time) = (text.len(), venue_ms / LATE);
    }
}
