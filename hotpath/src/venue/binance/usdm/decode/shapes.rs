//! The forms that a level takes, `["61800.20","0.013"]`, one for every length of its two whole parts: what stands
//! where, and where the digits are. Two blocks of a level tell at once whether it has a form.

#![expect(unsafe_code, reason = "positions within a padded text are read without a check of each byte")]

use super::lanes::{self, BLOCK, Block, Digits, Pair, WORD};

/// Most digits of a whole part.
const WHOLE_MAX: usize = 7;
/// Bytes before a price, between it and the quantity, and behind that.
const OPENING: usize = 2;
const BETWEEN: usize = 3;
const CLOSING: usize = 2;
/// Bytes of the longest level that has a form: both its numbers fill a word, and have a point.
const LEN_MAX: usize = OPENING + (WORD + 1) + BETWEEN + (WORD + 1) + CLOSING;

const _: () = assert!(LEN_MAX <= 2 * BLOCK);

const ZEROS: u64 = 0x3030_3030_3030_3030;
const UPPER: u64 = 0x8080_8080_8080_8080;
const LOWER: u64 = 0x0f0f_0f0f_0f0f_0f0f;

/// One form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Bytes up to the closing bracket.
    len: usize,
    /// Where the first words of price and quantity begin, from the level's beginning on.
    numbers: [isize; 2],
    digits: Digits,
    /// The first block begins with the level, the second ends with it: their bytes, with zeros for digits.
    expected: [Block; 2],
    /// What each of them may differ by: 9 for digits, nothing for the others, anything outside of a short level.
    room: [Block; 2],
}

impl Shape {
    /// No level has it: two things are expected at one place.
    const NONE: Self = Self {
        len: BLOCK,
        numbers: [0; 2],
        digits: Digits { whole: Pair([0; 2]), decimals: Pair([0; 2]) },
        expected: [Block([0; BLOCK]), Block([1; BLOCK])],
        room: [Block([0; BLOCK]); 2],
    };

    fn new(whole: [usize; 2], places: [usize; 2]) -> Self {
        if (0..2).any(|i| whole[i] + places[i] > WORD) {
            return Self::NONE;
        }
        let price_end = OPENING + whole[0] + places[0];
        let qty_end = price_end + usize::from(places[0] > 0) + BETWEEN + whole[1] + places[1];
        let len = qty_end + usize::from(places[1] > 0) + CLOSING;
        let text = template(whole, places);
        let blocks = |of: fn(u8) -> u8, outside: u8| {
            let block = |from: isize| {
                Block(std::array::from_fn(|at| {
                    let inside = usize::try_from(from + at as isize).ok().filter(|at| *at < len);
                    inside.map_or(outside, |at| of(text[at]))
                }))
            };
            [block(0), block(len as isize - BLOCK as isize)]
        };
        // The upper bytes of a word, so many of them.
        let upper = |bytes: usize| if bytes == 0 { 0 } else { LOWER << (8 * (WORD - bytes)) };
        Self {
            len,
            numbers: [price_end, qty_end].map(|end| end as isize - WORD as isize),
            digits: Digits {
                whole: Pair([0, 1].map(|i| upper(whole[i]) >> (8 * places[i]))),
                decimals: Pair(places.map(upper)),
            },
            expected: blocks(|byte| byte, 0),
            room: blocks(|byte| if byte == b'0' { 9 } else { 0 }, u8::MAX),
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
    /// [`LEN_MAX`] bytes are readable from there on, and a word before it.
    #[inline(always)]
    pub(super) unsafe fn fits(&self, at: *const u8) -> bool {
        // SAFETY: a level has at least nine bytes: the second block begins less than a word before it.
        unsafe {
            let last = at.offset(self.len as isize - BLOCK as isize);
            lanes::are_within([at, last], &self.expected, &self.room)
        }
    }

    /// Price and quantity without their points, each times its factor, which has less than 32 bits.
    ///
    /// # Safety
    ///
    /// A level of this form begins there, and a word is readable before it.
    #[inline(always)]
    pub(super) unsafe fn amounts(&self, at: *const u8, factors: &Pair) -> [u64; 2] {
        // SAFETY: the words end within the level, and begin less than a word before it.
        unsafe { lanes::numbers(self.numbers.map(|from| at.offset(from)), &self.digits, factors) }
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

    /// Makes them for so many decimals of price and quantity. Not for the hot path.
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
    /// [`LEN_MAX`] bytes and a word more are readable from there on, and a word before it. Prices have nine decimals at
    /// most.
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
            (lanes::value_of(first) * POW10[more] + lanes::value_of(second), WORD + more)
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
        // A number too long for a word.
        for (whole, places) in [([7, 7], [2, 3]), ([1, 1], [8, 1]), ([6, 1], [3, 1])] {
            assert_eq!(Shape::new(whole, places).expected, Shape::NONE.expected);
        }
        assert_eq!(Shape::new([7, 7], [1, 1]).len(), LEN_MAX);
    }

    #[test]
    fn every_level_whose_numbers_fill_no_more_than_a_word_has_its_form() {
        let number = |whole: usize, places: usize| {
            let digits: String = "7081926354".chars().cycle().skip(whole).take(whole + places).collect();
            let point = if places == 0 { "" } else { "." };
            (format!("{}{point}{}", &digits[..whole], &digits[whole..]), digits.parse::<u64>().unwrap())
        };
        let (mut shapes, opening) = (Shapes::new(), "opening\"b\":[");
        let all = |bound: usize| (0..bound).flat_map(move |a| (0..bound).map(move |b| [a, b]));
        for places in all(10) {
            shapes.set(places);
            for whole in all(WHOLE_MAX + 3).filter(|whole| !whole.contains(&0)) {
                let [(price, p), (qty, q)] = [0, 1].map(|i| number(whole[i], places[i]));
                let level = format!("[\"{price}\",\"{qty}\"]");
                let text = format!("{opening}{level},[\"61800.20\",\"0.013\"],[\"61800.20\",\"0.013\"]");
                let fits = (0..2).all(|i| whole[i] <= WHOLE_MAX && whole[i] + places[i] <= WORD);
                // SAFETY: the level is followed by two more, and a word is before it.
                let found = unsafe {
                    let at = text.as_ptr().add(opening.len());
                    shapes.of(at, places).map(|shape| (shape.len(), shape.amounts(at, &Pair([3, 1000]))))
                };
                assert_eq!(found, fits.then(|| (level.len(), [3 * p, 1000 * q])), "{level}");
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
