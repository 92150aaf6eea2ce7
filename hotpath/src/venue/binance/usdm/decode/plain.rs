//! Diffs with what every processor has: the same two forms as [`super::diffs`], read from front to back. Every literal and
//! the number of decimals are known, and a level is taken to have the form of those before it on its side: where it has,
//! it is compared with that at once, nothing has to wait for its digits, and those of both numbers are converted together.

#![expect(unsafe_code, reason = "positions within a padded text are read without a check of each byte")]

use super::{
    Event,
    diffs::Diffs,
    shapes::{self, Shape},
    units::Units,
};
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
        // What the stream was found by.
        cursor.skip(stream.prefix().len());
        unsigned(&mut cursor, text)?;
        cursor.literal(b",\"T\":")?;
        let venue_ms = unsigned(&mut cursor, text)?;
        let [old, new] = stream.middles();
        let is_new = cursor.literal(old).is_err();
        if is_new {
            cursor.literal(new)?;
        }
        let first_update_id = unsigned(&mut cursor, text)?;
        cursor.literal(b",\"u\":")?;
        let last_update_id = unsigned(&mut cursor, text)?;
        cursor.literal(b",\"pu\":")?;
        let previous_update_id = unsigned(&mut cursor, text)?;
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

/// As [`Cursor::unsigned`], in two words where it has eight to fifteen digits and a comma of the text follows.
fn unsigned(cursor: &mut Cursor<'_>, text: Text<'_>) -> Result<u64, Irregular> {
    // SAFETY: the position lies within the text or at its end, and sixteen bytes may be read beyond that.
    let value = unsafe { shapes::up_to_comma(text.at(cursor.offset())) };
    match value {
        Some((value, digits)) if cursor.offset() + digits < text.len() => {
            cursor.skip(digits);
            Ok(value)
        }
        _ => cursor.unsigned(),
    }
}

/// Reads levels up to the closing bracket; returns how many.
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
    // SAFETY: both positions lie within the text, whose beginning is what the stream was found by, or at its end.
    let (mut at, end) = unsafe { (text.at(cursor.offset()), text.at(text.len())) };
    // SAFETY: as for every level below.
    let shape = unsafe { units.shapes.of(at, units.places()) }.unwrap_or(units.shapes.first());
    let mut expected = Expected { units, shape, after_stranger: std::ptr::null() };
    let room = event.levels.spare_capacity_mut();
    let room_len = room.len().min(LEVELS_MAX - before);
    let mut slots = room[..room_len].iter_mut();
    while let Some(slot) = slots.next() {
        // SAFETY: a level reads at most a few dozen bytes from a position within the text, fewer than follow it, and a word
        // before it, less than what the stream was found by.
        let ([price, qty], behind) = unsafe { expected.read(at) }.ok_or(Irregular)?;
        if behind >= end {
            return Err(Irregular);
        }
        let level = Level { price: price as i64, qty: qty as i64 };
        *off_tick += u32::from(!units.tick.divides(level.price));
        slot.write(level);
        // SAFETY: within the text, as was just seen.
        let (separator, next) = unsafe { (*behind, behind.add(1)) };
        if separator == b',' {
            at = next;
            continue;
        }
        if separator != b']' {
            break;
        }
        let count = room_len - slots.len();
        // SAFETY: so many were written; the position is within the text, behind where the cursor stands.
        unsafe {
            event.levels.set_len(before + count);
            cursor.skip(next.offset_from_unsigned(text.at(cursor.offset())));
        }
        return Ok(count as u16);
    }
    // Something else than a level, or more of them than an event has room for.
    Err(Irregular)
}

/// Price and quantity of a level in their units, and what is behind its bracket.
type Read = ([u64; 2], *const u8);

/// The form that the next level is taken to have.
struct Expected<'u> {
    units: &'u Units,
    shape: &'u Shape,
    /// Where the level after the last one of another form begins; null before one.
    after_stranger: *const u8,
}

impl Expected<'_> {
    /// The level at a position.
    ///
    /// # Safety
    ///
    /// As for [`stranger`].
    #[inline(always)]
    unsafe fn read(&mut self, at: *const u8) -> Option<Read> {
        // SAFETY: the caller has bytes enough.
        unsafe {
            if self.shape.fits(at) {
                return Some((self.shape.amounts(at, self.units.factors()), at.add(self.shape.len())));
            }
            let (other, read) = stranger(at, self.units);
            // One alone does not change what the next one is taken for.
            if self.after_stranger == at {
                self.shape = other.unwrap_or(self.shape);
            }
            let (amounts, behind) = read?;
            self.after_stranger = behind.add(1);
            Some((amounts, behind))
        }
    }
}

/// A level of another form than was expected: read by its form, or digit by digit if it has none.
///
/// # Safety
///
/// As many bytes are readable from the position on as the longest level without a form has, and a word before it.
#[cold]
#[inline(never)]
unsafe fn stranger(at: *const u8, units: &Units) -> (Option<&Shape>, Option<Read>) {
    // SAFETY: the caller has bytes enough.
    unsafe {
        match units.shapes.of(at, units.places()) {
            Some(shape) => (Some(shape), Some((shape.amounts(at, units.factors()), at.add(shape.len())))),
            None => (None, digit_by_digit(at, units)),
        }
    }
}

/// Most digits before a point, and by [`Units::is_narrow`] most decimals: no value wraps, and a level is at most 46 bytes.
const DIGITS_MAX: usize = 9;

/// A level that has no form.
///
/// # Safety
///
/// As many bytes are readable from the position on as [`DIGITS_MAX`] tells.
unsafe fn digit_by_digit(start: *const u8, units: &Units) -> Option<Read> {
    let (places, factors) = (units.places(), units.factors().0);
    // SAFETY: the caller has bytes enough.
    unsafe {
        let (price, at) = amount(literal(start, b"[\"")?, places[0])?;
        let (qty, at) = amount(literal(at, b"\",\"")?, places[1])?;
        Some(([price * factors[0], qty * factors[1]], literal(at, b"\"]")?))
    }
}

/// What is behind a literal.
///
/// # Safety
///
/// As many bytes are readable from the position on.
unsafe fn literal<const N: usize>(at: *const u8, wanted: &[u8; N]) -> Option<*const u8> {
    // SAFETY: the caller has them.
    unsafe { (at.cast::<[u8; N]>().read_unaligned() == *wanted).then_some(at.add(N)) }
}

/// A number with so many decimals, digit by digit, and what is behind it.
///
/// # Safety
///
/// As many bytes are readable from the position on as the longest number has, and four more.
unsafe fn amount(mut at: *const u8, places: usize) -> Option<(u64, *const u8)> {
    // SAFETY: the caller has bytes enough for the most digits.
    unsafe {
        let mut value = u64::from((*at).wrapping_sub(b'0'));
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
        at = at.add(whole);
        if places == 0 {
            return Some((value, at));
        }
        if *at != b'.' {
            return None;
        }
        let mut worst = 0;
        for i in 1..=places {
            let digit = u64::from((*at.add(i)).wrapping_sub(b'0'));
            worst |= digit + 0x76;
            value = value * 10 + digit;
        }
        (worst & 0x80 == 0 && worst < 0x100).then_some((value, at.add(places + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{venue::binance::usdm::decode::units::Units, wire::text::PADDING};
    use tickpath_shared::types::{Grid, InstrumentDefinition, Symbol};

    fn units(places: [usize; 2]) -> Units {
        let grid = |places| Grid { scale: places as u8, places: places as u8, step: 1 };
        let symbol = Symbol::new("BTCUSDT").unwrap();
        Units::new(&InstrumentDefinition::on_grids(symbol, 0, grid(places[0]), grid(places[1])))
    }

    /// Reads a side that begins at a position of a frame.
    fn read(units: &Units, frame: &str, from: usize) -> Option<Vec<Level>> {
        let mut bytes = frame.as_bytes().to_vec();
        // What is behind the text looks like more of it.
        bytes.extend(b"[\"61800.20\",\"0.013\"],".iter().cycle().take(PADDING));
        let text = Text::new(&bytes, frame.len()).unwrap();
        let mut event = Event { header: MarketHeader::default(), levels: Vec::with_capacity(LEVELS_MAX) };
        let mut cursor = Cursor::new(text.as_bytes());
        cursor.skip(from);
        side(&mut cursor, text, units, &mut event, &mut 0).ok()?;
        (cursor.offset() == frame.len()).then_some(event.levels)
    }

    /// Levels with all lengths of their numbers one after another, each as its digits say; and none of them with a byte
    /// damaged.
    fn check(places: [usize; 2]) {
        let whole =
            ["6", "61496", "61497", "0", "123456789", "100000", "7", "12345678", "1234567", "42", "421"];
        let number = |whole: &str, places: usize, i: usize| {
            let fraction: String = "987654321".chars().cycle().skip(i % 9).take(places).collect();
            format!("{whole}{}{fraction}", if places == 0 { "" } else { "." })
        };
        let value = |number: &str| number.replace('.', "").parse::<i64>().unwrap();
        let pairs = (0..whole.len() * whole.len()).map(|i| {
            let (price, qty) = (whole[i % whole.len()], whole[(i * 7 + i / whole.len()) % whole.len()]);
            [number(price, places[0], i), number(qty, places[1], i + 1)]
        });
        let pairs: Vec<[String; 2]> = pairs.collect();
        let (units, opening) = (units(places), "opening: [");
        let text = |pairs: &[[String; 2]]| {
            let levels: Vec<String> = pairs.iter().map(|[p, q]| format!("[\"{p}\",\"{q}\"]")).collect();
            format!("{opening}{}]", levels.join(","))
        };
        let expected: Vec<Level> =
            pairs.iter().map(|[price, qty]| Level { price: value(price), qty: value(qty) }).collect();
        assert_eq!(read(&units, &text(&pairs), opening.len()), Some(expected));
        // After one of another form, and after one or two of its own.
        let threes = pairs.windows(2).flat_map(|two| {
            let [a, b] = [two[0].clone(), two[1].clone()];
            [[a.clone(), b.clone(), a.clone()], [a.clone(), a.clone(), b], [a.clone(), a.clone(), a]]
        });
        for three in threes {
            let sound = text(&three);
            for at in text(&three[..1]).len()..sound.len() - 1 {
                for damage in [":", "/", ".", "x", "\u{80}"] {
                    let damaged = format!("{}{damage}{}", &sound[..at], &sound[at + damage.len()..]);
                    assert!(damaged == sound || read(&units, &damaged, opening.len()).is_none(), "{damaged}");
                }
                assert_eq!(read(&units, &sound[..at], opening.len()), None, "cut off");
            }
        }
    }

    #[test]
    fn levels_are_read_whatever_stood_before_them() {
        for price in 0..=DIGITS_MAX {
            (0..=4).chain([DIGITS_MAX]).for_each(|qty| check([price, qty]));
        }
    }
}
