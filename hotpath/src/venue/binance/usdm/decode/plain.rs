//! Diffs without vectors: the same two forms as [`super::diffs`], read from front to back. Knowing every literal
//! and the number of decimals leaves one unpredictable branch a number: where its whole part ends.

#![expect(unsafe_code, reason = "positions within a padded text are read without a check of each byte")]

use super::{Event, diffs::Diffs, units::Units};
use crate::{
    market::{LEVELS_MAX, Level, MarketHeader, MarketKind},
    wire::{
        json::{Cursor, Irregular},
        text::Text,
    },
};

impl Diffs {
    /// Decodes a diff in one of its two forms; `None` for every other frame. The event's levels are empty
    /// before.
    pub(super) fn decode_plain(&self, text: Text<'_>, event: &mut Event) -> Option<()> {
        let index = self.find(text, |prefix| text.as_bytes().starts_with(prefix.as_bytes()))?;
        self.read(index, text, event).ok()
    }

    fn read(&self, index: usize, text: Text<'_>, event: &mut Event) -> Result<(), Irregular> {
        let (stream, units) = self.stream(index);
        if !units.is_narrow() {
            return Err(Irregular);
        }
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.literal(stream.prefix())?;
        cursor.unsigned()?;
        cursor.literal(b",\"T\":")?;
        let venue_ms = cursor.unsigned()?;
        let [old, new] = stream.middles();
        let is_new = cursor.literal(old).is_err();
        if is_new {
            cursor.literal(new)?;
        }
        let first_update_id = cursor.unsigned()?;
        cursor.literal(b",\"u\":")?;
        let last_update_id = cursor.unsigned()?;
        cursor.literal(b",\"pu\":")?;
        let previous_update_id = cursor.unsigned()?;
        let mut off_tick = 0;
        cursor.literal(b",\"b\":[")?;
        let bids = side(&mut cursor, text, units, event, &mut off_tick)?;
        cursor.literal(b",\"a\":[")?;
        let asks = side(&mut cursor, text, units, event, &mut off_tick)?;
        cursor.literal(if is_new { self.tail() } else { b"}}" })?;
        if !cursor.is_end() {
            return Err(Irregular);
        }
        event.header = MarketHeader {
            kind: MarketKind::Depth as u16,
            instrument: stream.instrument(),
            bids,
            asks,
            first_update_id,
            last_update_id,
            previous_update_id,
            venue_ms,
            off_tick,
            ..MarketHeader::default()
        };
        Ok(())
    }
}

/// Levels up to the closing bracket; returns how many.
fn side(
    cursor: &mut Cursor<'_>,
    text: Text<'_>,
    units: &Units,
    event: &mut Event,
    off_tick: &mut u32,
) -> Result<u16, Irregular> {
    let before = event.levels.len();
    if cursor.take(b']') {
        return Ok(0);
    }
    let [price_places, qty_places] = [units.price_places(), units.qty_places()];
    let mut at = cursor.offset();
    loop {
        // SAFETY: a level reads at most a few dozen bytes from a position within the text, fewer than follow it.
        let level = unsafe { level(text.at(at), price_places, qty_places) };
        let (price, qty, len) = level.ok_or(Irregular)?;
        at += len;
        if at > text.len() || event.levels.len() == LEVELS_MAX {
            return Err(Irregular);
        }
        let price = price as i64 * units.price_factor();
        *off_tick += u32::from(!units.tick.divides(price));
        event.levels.push(Level { price, qty: qty as i64 * units.qty_factor() });
        if text.as_bytes()[at - 1] != b',' {
            cursor.skip(at - cursor.offset());
            return Ok((event.levels.len() - before) as u16);
        }
    }
}

/// Most digits before a point, and decimals, read here: no value wraps, and a level is at most 43 bytes.
const DIGITS_MAX: usize = 9;

/// `["price","qty"]` and the comma or bracket behind it: both numbers without their points, and the length.
///
/// # Safety
///
/// As many bytes are readable from `start` on as the longest level has.
#[inline(always)]
unsafe fn level(start: *const u8, price_places: usize, qty_places: usize) -> Option<(u64, u64, usize)> {
    // SAFETY: the caller has bytes enough.
    unsafe {
        let mut at = start;
        let opening = at.cast::<u16>().read_unaligned() == u16::from_ne_bytes(*b"[\"");
        at = at.add(2);
        let price = amount(&mut at, price_places)?;
        let between =
            at.cast::<u32>().read_unaligned().to_le() & 0x00ff_ffff == u32::from_le_bytes(*b"\",\"\0");
        at = at.add(3);
        let qty = amount(&mut at, qty_places)?;
        let closing = at.cast::<u32>().read_unaligned().to_le() & 0x00ff_ffff;
        let is_closed =
            closing == u32::from_le_bytes(*b"\"],\0") || closing == u32::from_le_bytes(*b"\"]]\0");
        (opening & between & is_closed).then_some((price, qty, at.offset_from_unsigned(start) + 3))
    }
}

/// A number with so many decimals; the position moves behind it.
///
/// # Safety
///
/// As many bytes are readable from the position on as the longest number has, and four more.
#[inline(always)]
unsafe fn amount(at: &mut *const u8, places: usize) -> Option<u64> {
    // SAFETY: the caller has bytes enough for the most digits.
    unsafe {
        let mut value = u64::from((**at).wrapping_sub(b'0'));
        if value > 9 {
            return None;
        }
        let mut whole = 1;
        loop {
            let digit = u64::from((*at.add(whole)).wrapping_sub(b'0'));
            if digit > 9 {
                break;
            }
            value = value * 10 + digit;
            whole += 1;
            if whole > DIGITS_MAX {
                return None;
            }
        }
        *at = at.add(whole);
        if places == 0 {
            return Some(value);
        }
        if **at != b'.' {
            return None;
        }
        let mut worst = 0;
        for i in 1..=places {
            let digit = u64::from((*at.add(i)).wrapping_sub(b'0'));
            worst |= digit + 0x76;
            value = value * 10 + digit;
        }
        *at = at.add(places + 1);
        (worst & 0x80 == 0 && worst < 0x100).then_some(value)
    }
}
