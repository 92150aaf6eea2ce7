//! Tables by which the kernels shuffle the digits of numbers into their places, and what proves that they were there.

/// Taken off every byte before it is compared.
const ZERO: u8 = b'0';

/// Leaves a zero.
const ABSENT: u8 = 0x80;

/// Slots of a number in a vector.
const SLOTS: usize = 16;

/// Indices of a decimal of `len` bytes, right-aligned behind slots for `proofs`, and the place of its point, if it has
/// one. `None` when it has too many digits or does not fit the scale.
fn digits(len: usize, places: usize, scale: usize, proofs: usize) -> Option<([u8; SLOTS], Option<usize>)> {
    let zeros = scale.checked_sub(places)?;
    let point = if places == 0 { None } else { Some(len.checked_sub(places + 1)?) };
    let digits = len - usize::from(point.is_some());
    // At least one digit stands before the point.
    if digits == 0 || point == Some(0) || digits + zeros > SLOTS - proofs || len > SLOTS {
        return None;
    }
    let mut row = [ABSENT; SLOTS];
    for digit in 0..digits {
        let from = digits - 1 - digit;
        let skipped = usize::from(point.is_some_and(|point| from >= point));
        row[SLOTS - 1 - zeros - digit] = (from + skipped) as u8;
    }
    Some((row, point))
}

/// Shuffle indices of four numbers of known lengths.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Row(pub(super) [u8; 64]);

impl Default for Row {
    fn default() -> Self {
        Self([ABSENT; 64])
    }
}

impl Row {
    /// Indices and proof of a number of `len` bytes with `places` digits behind its point, in units of
    /// `10^-scale`; without a point `terminator`, which follows it, is the proof. `None` when it has too many
    /// digits or does not fit the scale.
    pub(crate) fn lane(len: usize, places: usize, scale: usize, terminator: u8) -> Option<([u8; 16], u8)> {
        let (mut row, point) = digits(len, places, scale, 1)?;
        let proof = point.unwrap_or(len);
        row[0] = u8::try_from(proof).ok().filter(|at| *at < SLOTS as u8)?;
        let byte = if point.is_some() { b'.' } else { terminator };
        Some((row, byte.wrapping_sub(ZERO)))
    }

    pub(crate) fn set(&mut self, lane: usize, row: [u8; 16]) {
        self.0[lane * 16..][..16].copy_from_slice(&row);
    }

    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        self.0.copy_within(from * 16..(from + 1) * 16, to * 16);
    }
}

/// A row of shuffle indices for every length of an integer; most lengths are poison.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    rows: Box<[[u8; 16]; 32]>,
    /// What the first slot must hold once the digit zero has been taken off.
    proof: u8,
}

impl Rows {
    /// Rows for integers that `terminator` follows.
    pub(crate) fn integer(terminator: u8) -> Self {
        let mut rows = Box::new([[ABSENT; 16]; 32]);
        for (len, row) in rows.iter_mut().enumerate() {
            *row = Row::lane(len, 0, 0, terminator).map_or([ABSENT; 16], |(row, _)| row);
        }
        Self { rows, proof: terminator.wrapping_sub(ZERO) }
    }

    /// What the first slot must hold.
    pub(crate) fn proof(&self) -> u8 {
        self.proof
    }

    /// The row for a length; lengths of 32 and more are the caller's to refuse.
    #[inline(always)]
    pub(crate) fn row(&self, len: usize) -> *const u8 {
        self.rows[len & 31].as_ptr()
    }
}

/// Shuffle indices of a level: of its price's digits and of its quantity's.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(crate) struct LevelRow(pub(super) [u8; 32]);

impl LevelRow {
    const POISON: Self = Self([ABSENT; 32]);

    /// Indices for a price and a quantity of these lengths; see [`LevelRows::set`].
    fn new(lens: [usize; 2], places: [usize; 2], scales: [usize; 2]) -> Option<Self> {
        let (mut price, price_point) = digits(lens[0], places[0], scales[0], LevelRows::PRICE_PROOFS)?;
        let (mut qty, qty_point) = digits(lens[1], places[1], scales[1], LevelRows::QTY_PROOFS)?;
        let [price_end, qty_end] = lens;
        let proofs = [price_point.unwrap_or(price_end), price_end, price_end + 1, price_end + 2];
        if proofs[3] >= SLOTS || qty_end >= SLOTS {
            return None;
        }
        price[..LevelRows::PRICE_PROOFS].copy_from_slice(&proofs.map(|at| at as u8));
        let proofs = [qty_point.unwrap_or(qty_end), qty_end];
        qty[..LevelRows::QTY_PROOFS].copy_from_slice(&proofs.map(|at| at as u8));
        let mut row = Self::POISON;
        row.0[..SLOTS].copy_from_slice(&price);
        row.0[SLOTS..].copy_from_slice(&qty);
        Some(row)
    }
}

/// A row for each pair of lengths of `price","qty"`, which proves every byte of such a level from its first digit to its
/// last quote; most of them are poison.
///
/// A row that was chosen by wrong lengths refuses the level, provided that the quantity is looked for three bytes behind
/// the first quote after the price's own: the two numbers are proved apart. Prices of more than twelve digits or thirteen
/// bytes and quantities of more than fourteen digits have no row.
#[derive(Clone, Debug)]
pub(crate) struct LevelRows {
    rows: Box<[LevelRow; 256]>,
    proof: Proof,
}

impl LevelRows {
    /// First slots of a price: its point (or again its quote), the quote, the comma and the quantity's quote.
    pub(super) const PRICE_PROOFS: usize = 4;
    /// First slots of a quantity: its point (or again its quote) and the quote.
    pub(super) const QTY_PROOFS: usize = 2;

    /// Rows for price and quantity with so many `places` behind the point, in units of `10^-scale`.
    pub(crate) fn new(places: [usize; 2], scales: [usize; 2]) -> Self {
        let mut rows = Self { rows: Box::new([LevelRow::POISON; 256]), proof: Proof::default() };
        rows.set(places, scales);
        rows
    }

    /// Changes in place, without allocating. With more places than a scale has, everything is poison.
    pub(crate) fn set(&mut self, places: [usize; 2], scales: [usize; 2]) {
        for lens in (0..SLOTS).flat_map(|price| (0..SLOTS).map(move |qty| [price, qty])) {
            let row = LevelRow::new(lens, places, scales).unwrap_or(LevelRow::POISON);
            self.rows[Self::index(0, lens[0] + 1, lens[0] + lens[1] + 4)] = row;
        }
        let point = |places| if places == 0 { b'"' } else { b'.' };
        for level in [0, 2] {
            self.proof.set_lane(level, [point(places[0]), b'"', b',', b'"']);
            self.proof.set_lane(level + 1, [point(places[1]), b'"']);
        }
    }

    /// What the first slots must hold.
    pub(crate) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The row for a level by its quotes: the price's two and the quantity's second; of impossible ones any.
    #[inline(always)]
    pub(crate) fn row(&self, price: usize, price_end: usize, qty_end: usize) -> &LevelRow {
        &self.rows[Self::index(price, price_end, qty_end)]
    }

    /// Different for each pair of lengths below 16, as few steps as can be.
    #[inline(always)]
    fn index(price: usize, price_end: usize, qty_end: usize) -> usize {
        let (of_price, of_qty) = (price_end.wrapping_sub(price), qty_end.wrapping_sub(price_end));
        of_price.wrapping_mul(SLOTS).wrapping_add(of_qty) & 255
    }
}

/// What the first slots of four numbers must hold.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Proof(pub(super) [u8; 64]);

impl Default for Proof {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Proof {
    pub(crate) fn new(each: [u8; 4]) -> Self {
        let mut proof = Self::default();
        for (lane, byte) in each.into_iter().enumerate() {
            proof.0[lane * 16] = byte;
        }
        proof
    }

    pub(crate) fn set(&mut self, lane: usize, proof: u8) {
        self.0[lane * 16] = proof;
    }

    pub(crate) fn copy(&mut self, from: usize, to: usize) {
        self.0[to * 16] = self.0[from * 16];
    }

    fn set_lane<const N: usize>(&mut self, lane: usize, bytes: [u8; N]) {
        self.0[lane * SLOTS..][..N].copy_from_slice(&bytes.map(|byte| byte.wrapping_sub(ZERO)));
    }
}

/// The most that may stand in each slot when the first ones of the four numbers, as many as said, hold proofs: nothing
/// in those, a digit in the others.
const fn most(proofs: [usize; 4]) -> Proof {
    let mut bytes = [9; 64];
    let mut slot = 0;
    while slot < 64 {
        if slot % SLOTS < proofs[slot / SLOTS] {
            bytes[slot] = 0;
        }
        slot += 1;
    }
    Proof(bytes)
}

/// Of numbers with one proof each.
pub(crate) static MOST: Proof = most([1; 4]);

/// Of two levels.
pub(crate) static LEVELS_MOST: Proof = {
    let (price, qty) = (LevelRows::PRICE_PROOFS, LevelRows::QTY_PROOFS);
    most([price, qty, price, qty])
};
