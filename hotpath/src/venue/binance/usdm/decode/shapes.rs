//! The forms that a level takes, `["61800.20","0.013"]`, one for every length of its two whole parts: what stands
//! where, and where the digits are. Three words of a level tell at once whether it has a form.

#![expect(unsafe_code, reason = "positions within a padded text are read without a check of each byte")]

/// Bytes of a word, and digits that one takes.
const WORD: usize = 8;
/// Most digits of a whole part.
const WHOLE_MAX: usize = 7;
/// Bytes of the longest level that has a form: three words see all of it.
const LEN_MAX: usize = 3 * WORD;
/// Bytes before a price, and between it and the quantity.
const OPENING: usize = 2;
const BETWEEN: usize = 3;

const ZEROS: u64 = 0x3030_3030_3030_3030;
const UPPER: u64 = 0x8080_8080_8080_8080;
const LOWER: u64 = 0x0f0f_0f0f_0f0f_0f0f;

/// One form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Bytes up to the closing bracket.
    len: usize,
    /// Where the whole parts of price and quantity end.
    ends: [usize; 2],
    /// Bytes of their digits in a word that ends there.
    masks: [u64; 2],
    /// Where the second word begins; the first begins with the level, the third ends with it.
    second: usize,
    /// The words, with zeros for digits.
    expected: [u64; 3],
    /// What every byte of a word may differ by without its upper bit being set after this is added: 9 for digits, and
    /// nothing for the others.
    room: [u64; 3],
}

impl Shape {
    /// No level has it.
    const NONE: Self =
        Self { len: WORD, ends: [WORD; 2], masks: [0; 2], second: 0, expected: [0; 3], room: [UPPER; 3] };

    fn new(whole: [usize; 2], places: [usize; 2]) -> Self {
        let price_end = OPENING + whole[0];
        let qty_end = price_end + with_point(places[0]) + BETWEEN + whole[1];
        let len = qty_end + with_point(places[1]) + 2;
        let has_words = (0..2).all(|i| whole[i] + places[i] <= WORD);
        if len > LEN_MAX || !has_words {
            return Self::NONE;
        }
        let text = template(whole, places);
        let room = text.map(|byte| if byte == b'0' { 0x76 } else { 0x7f });
        let second = WORD.min(len - WORD);
        let words = |text: [u8; LEN_MAX]| {
            [0, second, len - WORD].map(|at| {
                let mut word = [0; WORD];
                word.copy_from_slice(&text[at..at + WORD]);
                u64::from_le_bytes(word)
            })
        };
        Self {
            len,
            ends: [price_end, qty_end],
            masks: whole.map(|digits| LOWER << (8 * (WORD - digits))),
            second,
            expected: words(text),
            room: words(room),
        }
    }

    /// Bytes of a level of this form, its closing bracket among them.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// True when a level of this form begins at a position.
    ///
    /// # Safety
    ///
    /// [`LEN_MAX`] bytes are readable from there on.
    #[inline(always)]
    pub(super) unsafe fn fits(&self, at: *const u8) -> bool {
        let [first, second, third] = self.expected;
        // SAFETY: all three words lie within the level.
        let words = unsafe {
            [word(at) ^ first, word(at.add(self.second)) ^ second, word(at.add(self.len - WORD)) ^ third]
        };
        let upper = |i: usize| words[i].wrapping_add(self.room[i]) | words[i];
        (upper(0) | upper(1) | upper(2)) & UPPER == 0
    }

    /// Price and quantity without their points, which have so many decimals.
    ///
    /// # Safety
    ///
    /// A level of this form, for these decimals, begins there, and a word is readable before it.
    #[inline(always)]
    pub(super) unsafe fn amounts(&self, at: *const u8, places: [usize; 2]) -> [u64; 2] {
        // SAFETY: the words end within the level.
        let amount = |i: usize| unsafe {
            let end = at.add(self.ends[i]);
            let whole = word(end.sub(WORD)) & self.masks[i];
            value_of(match places[i] {
                0 => whole,
                places => {
                    let bits = 8 * places as u32;
                    let fraction = word(end.add(places + 1).sub(WORD));
                    whole >> bits | fraction & LOWER << (u64::BITS - bits)
                }
            })
        };
        [amount(0), amount(1)]
    }
}

/// A level's text with zeros for digits.
fn template(whole: [usize; 2], places: [usize; 2]) -> [u8; LEN_MAX] {
    let mut text = [0; LEN_MAX];
    let mut at = 0;
    let mut put = |byte: u8, times: usize| {
        text[at..at + times].fill(byte);
        at += times;
    };
    put(b'[', 1);
    for i in 0..2 {
        put(b'"', 1);
        put(b'0', whole[i]);
        put(b'.', usize::from(places[i] > 0));
        put(b'0', places[i]);
        put(b'"', 1);
        put([b',', b']'][i], 1);
    }
    text
}

/// Every form for an instrument's decimals.
pub(super) struct Shapes {
    by_whole: [[Shape; WHOLE_MAX]; WHOLE_MAX],
}

impl Shapes {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { by_whole: [[Shape::NONE; WHOLE_MAX]; WHOLE_MAX] }
    }

    /// Makes them for so many decimals of price and quantity.
    pub(super) fn set(&mut self, places: [usize; 2]) {
        for (price, row) in self.by_whole.iter_mut().enumerate() {
            for (qty, shape) in row.iter_mut().enumerate() {
                *shape = Shape::new([price + 1, qty + 1], places);
            }
        }
    }

    /// Any of them, to begin with.
    pub(super) fn first(&self) -> &Shape {
        &self.by_whole[0][0]
    }

    /// The form of the level at a position, if it has one.
    ///
    /// # Safety
    ///
    /// [`LEN_MAX`] bytes and a word more are readable from there on, and a word before it.
    pub(super) unsafe fn of(&self, at: *const u8, places: [usize; 2]) -> Option<&Shape> {
        // SAFETY: the caller has bytes enough for both numbers.
        unsafe {
            let whole = whole_digits(at.add(OPENING));
            let row = self.by_whole.get(whole.checked_sub(1)?)?;
            let qty = OPENING + whole + with_point(places[0]) + BETWEEN;
            let shape = row.get(whole_digits(at.add(qty)).checked_sub(1)?)?;
            shape.fits(at).then_some(shape)
        }
    }
}

/// Bytes of so many decimals and of the point before them.
const fn with_point(places: usize) -> usize {
    if places == 0 { 0 } else { places + 1 }
}

/// An integer of eight to fifteen digits, the first of them no zero, with a comma behind it, and how many digits it has.
///
/// # Safety
///
/// Two words are readable there.
#[inline(always)]
pub(super) unsafe fn up_to_comma(at: *const u8) -> Option<(u64, usize)> {
    const POW10: [u64; WORD] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
    // SAFETY: the caller has them; the comma's place is within the second.
    unsafe {
        let (first, more) = (word(at) ^ ZEROS, whole_digits(at.add(WORD)));
        let is_it = others_in(first) == 0 && first & 0xff != 0 && more < WORD && *at.add(WORD + more) == b',';
        is_it.then(|| {
            // A word that ends with the last digit.
            let second = word(at.add(more)) & LOWER << (8 * (WORD - 1 - more)) << 8;
            (value_of(first) * POW10[more] + value_of(second), WORD + more)
        })
    }
}

/// Digits up to the first other byte; 8 where the first word has no other.
///
/// # Safety
///
/// A word is readable there.
unsafe fn whole_digits(at: *const u8) -> usize {
    // SAFETY: the caller has it.
    let digits = unsafe { word(at) } ^ ZEROS;
    others_in(digits).trailing_zeros() as usize / 8
}

/// The upper bit of every byte that is no digit, up to the first at least.
#[inline(always)]
const fn others_in(digits: u64) -> u64 {
    (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & UPPER
}

/// The word at a position, its first byte the lowest.
///
/// # Safety
///
/// Eight bytes are readable there.
#[inline(always)]
unsafe fn word(at: *const u8) -> u64 {
    // SAFETY: the caller has them.
    unsafe { at.cast::<u64>().read_unaligned() }.to_le()
}

/// Value of eight digits, the first the lowest byte: pairs, then fours, then all, every lane of a word at once.
#[inline(always)]
const fn value_of(digits: u64) -> u64 {
    const LANES: u64 = 0x0000_00ff_0000_00ff;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & LANES).wrapping_mul(100 + (1_000_000 << 32));
    let low = (pairs >> 16 & LANES).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_form_is_of_none() {
        for byte in 0..=u8::MAX {
            let text = [byte; 64];
            // SAFETY: a word before the position and more than a level behind it.
            assert!(!unsafe { Shape::NONE.fits(text.as_ptr().add(WORD)) });
        }
        // Too long for three words, and a number too long for one.
        for (whole, places) in [([7, 7], [2, 3]), ([1, 1], [8, 1]), ([6, 1], [3, 1])] {
            assert_eq!(Shape::new(whole, places).room, Shape::NONE.room);
        }
        assert_eq!(Shape::new([7, 6], [1, 1]).len(), LEN_MAX);
    }

    #[test]
    fn every_level_that_three_words_see_has_its_form() {
        let number = |whole: usize, places: usize| {
            let digits: String = "7081926354".chars().cycle().skip(whole).take(whole + places).collect();
            let point = if places == 0 { "" } else { "." };
            (format!("{}{point}{}", &digits[..whole], &digits[whole..]), digits.parse::<u64>().unwrap())
        };
        let mut shapes = Shapes::new();
        let all = |bound: usize| (0..bound).flat_map(move |a| (0..bound).map(move |b| [a, b]));
        for places in all(10) {
            shapes.set(places);
            for whole in all(WHOLE_MAX + 3).filter(|whole| !whole.contains(&0)) {
                let [(price, p), (qty, q)] = [0, 1].map(|i| number(whole[i], places[i]));
                let level = format!("[\"{price}\",\"{qty}\"]");
                let text = format!("{{\"b\":[{level},[\"61800.20\",\"0.013\"],[\"61800.20\",\"0.013\"]");
                let fits = level.len() <= LEN_MAX
                    && (0..2).all(|i| whole[i] <= WHOLE_MAX && whole[i] + places[i] <= WORD);
                // SAFETY: the level is followed by two more, and by half a word before it.
                let found = unsafe {
                    let at = text.as_ptr().add(6);
                    shapes.of(at, places).map(|shape| (shape.len(), shape.amounts(at, places)))
                };
                assert_eq!(found, fits.then_some((level.len(), [p, q])), "{level}");
            }
        }
    }

    #[test]
    fn integers_of_two_words_are_read_and_no_others() {
        for len in 1..=20 {
            let digits: String = "9081726354".chars().cycle().take(len).collect();
            let read = |text: &str| {
                let padded = format!("{text}012345678901234567890123");
                // SAFETY: more than two words.
                unsafe { up_to_comma(padded.as_ptr()) }
            };
            let expected = (8..16).contains(&len).then(|| (digits.parse().unwrap(), len));
            assert_eq!(read(&format!("{digits},")), expected);
            for other in [".", "e", ":", "/", "\u{a0}"] {
                assert_eq!(read(&format!("{digits}{other}")), None);
                for at in 0..len {
                    assert_eq!(read(&format!("{}{other}{},", &digits[..at], &digits[at + 1..])), None);
                }
            }
            assert_eq!(read(&format!("0{digits},")), None);
        }
    }
}
