//! The command file: the only way back from the rest of the world to the hot process.
//!
//! Written by others and treated as hostile input. Anyone may set the kill word, only the hot process
//! clears it. Commands go through a ring with one producer at a time, who holds a lock. The archiver
//! acknowledges here what it has made durable.
//!
//! ```text
//! 0      magic, layout, session
//! 64     kill word      0 clear, else the host's monotonic time of the store
//! 128    head           sequence of the last command written
//! 192    acknowledgements, one 64-byte line a lane
//! 4096   ring           SLOTS x 128 bytes
//! ```

use crate::{
    clock::host_ns_now,
    crc,
    memory::{MappedFile, MemoryError},
    paths::{DataDir, FileLock},
    status::LANES_MAX,
    types::{ClientOrderId, OrderTerms, Reason, Side, TimeInForce},
};
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use thiserror::Error;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

const MAGIC: u64 = u64::from_le_bytes(*b"tpcomand");
const LAYOUT: u64 = 1;
const KILL_AT: usize = 64;
const HEAD_AT: usize = 128;
const ACKS_AT: usize = 192;
const RING_AT: usize = 4096;
const SLOT_BYTES: usize = 128;
/// Commands that fit before the hot process has to take some.
pub const SLOTS: usize = 64;
const BYTES: usize = RING_AT + SLOTS * SLOT_BYTES;
const LOCK_NAME: &str = "command.lock";

const _: () = assert!(ACKS_AT + LANES_MAX * 64 <= RING_AT);

crate::labelled_enum! {
    /// What a command asks for.
    pub enum Verb: u16 {
        Arm = 1, "arm", "Allow orders.";
        Disarm = 2, "disarm", "Allow no new orders and cancel the working ones.";
        ClearKill = 3, "clear_kill", "Release the kill latch; the state becomes disarmed.";
        Stop = 4, "stop", "Cancel working orders and stop in order.";
        CancelAll = 5, "cancel_all", "Cancel the working orders of the scope.";
        StopOpening = 6, "stop_opening", "Open nothing in the scope until it is armed again; what is held may be closed.";
        Flatten = 7, "flatten", "Open nothing in the scope, cancel its orders and close its positions.";
        ReleaseBreakers = 8, "release_breakers", "Let all breakers go; one whose threshold is still passed trips again.";
        Set = 9, "set", "Give a parameter of a strategy, or a limit, a new value.";
        Approve = 10, "approve", "Let an order leave that waits for a person, if the limits still do.";
        Deny = 11, "deny", "Refuse an order that waits for a person.";
        Place = 12, "place", "Place an order of a person's own, through the limits of all orders.";
        Cancel = 13, "cancel", "Cancel one order.";
    }
}

/// What a command is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    #[default]
    Account,
    /// A strategy, and the instruments that it traded last.
    Strategy(u16),
    /// An instrument.
    Instrument(u16),
}

impl Scope {
    /// Kind and target as they are stored.
    pub const fn parts(self) -> (u16, u16) {
        match self {
            Self::Account => (0, 0),
            Self::Strategy(number) => (1, number),
            Self::Instrument(index) => (2, index),
        }
    }

    /// The scope of stored parts, or `None` for a kind of a later build.
    pub const fn from_parts(kind: u16, target: u16) -> Option<Self> {
        match kind {
            0 => Some(Self::Account),
            1 => Some(Self::Strategy(target)),
            2 => Some(Self::Instrument(target)),
            _ => None,
        }
    }
}

/// What is sent: a verb and what it is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Order {
    /// What is asked for.
    pub verb: Verb,
    /// What it is about.
    pub scope: Scope,
    /// What it says besides.
    pub detail: Detail,
}

/// What an order says besides verb and scope.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// Parameter and value of [`Verb::Set`].
    Setting(u16, f64),
    /// Number of the intent of [`Verb::Approve`] and [`Verb::Deny`].
    Intent(u64),
    /// The order of [`Verb::Place`].
    Ticket(Ticket),
    /// The order of [`Verb::Cancel`].
    Order(ClientOrderId),
}

/// An order as a person writes it down, of the instrument of the command's scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Limit price in units; 0 for the worst that the limits let an order have.
    pub price: i64,
    /// Quantity in units.
    pub qty: i64,
    /// Side.
    pub side: Side,
    /// How long it stays.
    pub time_in_force: TimeInForce,
    /// It only brings the position back towards zero.
    pub is_reduce_only: bool,
    /// What it says besides.
    pub terms: OrderTerms,
}

impl Detail {
    /// Writes it where a command keeps it.
    const fn fill(self, command: &mut Command) {
        match self {
            Self::None => {}
            Self::Setting(parameter, value) => {
                (command.parameter, command.value_bits) = (parameter, value.to_bits());
            }
            Self::Intent(number) => command.value_bits = number,
            Self::Ticket(ticket) => {
                (command.price, command.qty) = (ticket.price, ticket.qty);
                (command.side, command.time_in_force) = (ticket.side as u8, ticket.time_in_force as u8);
                command.is_reduce_only = ticket.is_reduce_only as u8;
                (command.order_type, command.price_match) = ticket.terms.codes();
                command.good_till_ms = ticket.terms.good_till_ms;
            }
            Self::Order(id) => command.client_order_id = id,
        }
    }
}

impl From<Verb> for Order {
    fn from(verb: Verb) -> Self {
        Self { verb, scope: Scope::Account, detail: Detail::None }
    }
}

crate::labelled_enum! {
    /// What became of a command.
    pub enum CommandOutcome: u16 {
        Done = 1, "done", "Carried out.";
        RefusedKilled = 2, "refused_killed", "The kill latch is set; release it first (`tickpath arm --clear-kill`, /api/v1/control/clear-kill).";
        RefusedNotReconciled = 3, "refused_not_reconciled", "Orders and positions are not proven yet.";
        RefusedHalted = 4, "refused_halted", "Trading is halted; the process must be restarted.";
        Expired = 5, "expired", "The deadline had passed.";
        Repeated = 6, "repeated", "The id was used before.";
        WrongSession = 7, "wrong_session", "Meant for another session.";
        UnknownVerb = 8, "unknown_verb", "This build does not know the verb.";
        UnknownScope = 9, "unknown_scope", "There is no such instrument or strategy.";
        UnknownParameter = 10, "unknown_parameter", "The strategy has no such parameter.";
        RefusedValue = 11, "refused_value", "The strategy does not take that value.";
        NotHeld = 12, "not_held", "No order of that intent waits for a person, or not any more.";
        RefusedLimit = 13, "refused_limit", "A limit refuses the order.";
        AwaitsApproval = 14, "awaits_approval", "The order is so large that it waits for a person to approve it.";
        NoSuchOrder = 15, "no_such_order", "No order of that name is open.";
        UnknownTicket = 16, "unknown_ticket", "The order has a side or a time in force that this build does not know.";
        RefusedCountdown = 17, "refused_countdown", "The venue's countdown cannot be refreshed: nothing would cancel orders if this process ended.";
    }
}

impl CommandOutcome {
    /// Refused to keep money safe, not because it was wrong.
    pub const fn is_guard(self) -> bool {
        matches!(
            self,
            Self::RefusedKilled
                | Self::RefusedNotReconciled
                | Self::RefusedHalted
                | Self::RefusedLimit
                | Self::RefusedCountdown
        )
    }
}

/// What is answered to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What became of it.
    Outcome(CommandOutcome),
    /// The limit because of which its order was not sent.
    Limit(Reason),
}

impl Verdict {
    /// From here on codes are those of limits.
    const LIMITS: u16 = 1_000;

    /// As it is stored.
    pub const fn code(self) -> u16 {
        match self {
            Self::Outcome(outcome) => outcome as u16,
            Self::Limit(reason) => Self::LIMITS + reason as u16,
        }
    }

    /// A stored one; `None` for one of a later build.
    pub fn from_code(code: u16) -> Option<Self> {
        match code.checked_sub(Self::LIMITS) {
            Some(reason) => Reason::from_repr(reason).map(Self::Limit),
            None => CommandOutcome::from_repr(code).map(Self::Outcome),
        }
    }
}

impl From<CommandOutcome> for Verdict {
    fn from(outcome: CommandOutcome) -> Self {
        Self::Outcome(outcome)
    }
}

/// A command as it lies in the ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Command {
    /// CRC32C of all that follows.
    pub crc32c: u32,
    /// [`Verb`].
    pub verb: u16,
    /// Zero.
    pub reserved: u16,
    /// Position in the ring, from 1, dense.
    pub sequence: u64,
    /// Session the command is meant for.
    pub session: u64,
    /// Caller's id, unique within the session, not zero.
    pub id: u64,
    /// Host's monotonic time after which the command must not be carried out.
    pub deadline_host_ns: u64,
    /// Kind of the scope.
    pub scope: u16,
    /// Strategy or instrument of the scope.
    pub target: u16,
    /// Parameter, 0 without one.
    pub parameter: u16,
    /// Zero.
    pub reserved_scope: u16,
    /// Bits of the parameter's value; number of the intent that is meant.
    pub value_bits: u64,
    /// Price of a ticket.
    pub price: i64,
    /// Quantity of a ticket.
    pub qty: i64,
    /// The order that is meant.
    pub client_order_id: ClientOrderId,
    /// Side of a ticket.
    pub side: u8,
    /// Time in force of a ticket.
    pub time_in_force: u8,
    /// 1 for a ticket that only reduces.
    pub is_reduce_only: u8,
    /// Order type of a ticket.
    pub order_type: u8,
    /// Price match of a ticket, 0 for a price of its own.
    pub price_match: u8,
    /// Zero.
    pub reserved_ticket: [u8; 3],
    /// Time until which a ticket is good, 0 without one.
    pub good_till_ms: u64,
    /// Zero.
    pub reserved_tail: [u64; 2],
}

const _: () = assert!(size_of::<Command>() == SLOT_BYTES);

impl Command {
    fn checksum(&self) -> u32 {
        crc::append(0, &self.as_bytes()[4..])
    }

    /// The verb, or `None` for one of a later build.
    pub fn verb(&self) -> Option<Verb> {
        Verb::from_repr(self.verb)
    }
}

/// The hot process's end.
#[derive(Debug)]
pub struct CommandFile {
    file: MappedFile,
}

impl CommandFile {
    /// Creates the file; the kill word is set from the start when the latch is.
    ///
    /// # Errors
    ///
    /// Those of [`MappedFile::create`].
    pub fn create(path: &Path, session: u64, is_killed: bool) -> Result<Self, MemoryError> {
        let file = MappedFile::create(path, BYTES as u64)?;
        file.u64_at(8).store(LAYOUT, Ordering::Relaxed);
        file.u64_at(16).store(session, Ordering::Relaxed);
        file.u64_at(KILL_AT).store(if is_killed { host_ns_now() } else { 0 }, Ordering::Relaxed);
        // Release, last: publishes the header.
        file.u64_at(0).store(MAGIC, Ordering::Release);
        Ok(Self { file })
    }

    /// The kill word: 0 while clear, else the host's monotonic time at which it was set.
    #[inline]
    pub fn kill_word(&self) -> u64 {
        self.file.u64_at(KILL_AT).load(Ordering::Acquire)
    }

    /// Clears the kill word.
    pub fn clear_kill(&self) {
        self.file.u64_at(KILL_AT).store(0, Ordering::Release);
    }

    /// Sets the kill word from within.
    pub fn set_kill(&self) {
        store_kill(&self.file);
    }

    /// What the archiver acknowledged for a lane, in bytes; not to be trusted.
    pub fn acknowledged(&self, lane: u16) -> u64 {
        self.file.u64_at(ACKS_AT + usize::from(lane) * 64).load(Ordering::Acquire)
    }

    /// How many commands after `taken` are in no slot any more. Producers wait for room, so that only a damaged head is that
    /// far ahead.
    pub fn lost_after(&self, taken: u64) -> u64 {
        let head = self.file.u64_at(HEAD_AT).load(Ordering::Acquire);
        head.saturating_sub(taken).saturating_sub(SLOTS as u64)
    }

    /// The command after `taken`, `None` when there is none, `Err` for a damaged one.
    ///
    /// # Errors
    ///
    /// [`DamagedCommand`]: the slot's checksum or sequence is wrong; the caller counts and skips it.
    pub fn next_after(&self, taken: u64) -> Result<Option<Command>, DamagedCommand> {
        // Acquire: the slot's bytes were stored before the head that covers them.
        let head = self.file.u64_at(HEAD_AT).load(Ordering::Acquire);
        if head <= taken {
            return Ok(None);
        }
        let sequence = taken + 1;
        let mut bytes = [0; SLOT_BYTES];
        self.file.copy_to(slot_at(sequence), &mut bytes);
        match Command::read_from_bytes(&bytes) {
            Ok(command) if command.crc32c == command.checksum() && command.sequence == sequence => {
                Ok(Some(command))
            }
            _ => Err(DamagedCommand),
        }
    }
}

/// A slot of the ring that is not what a producer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamagedCommand;

const fn slot_at(sequence: u64) -> usize {
    RING_AT + (sequence as usize % SLOTS) * SLOT_BYTES
}

fn store_kill(file: &MappedFile) {
    // The first stamp stays: it is the one whose reaction time matters.
    let now = host_ns_now().max(1);
    let _ = file.u64_at(KILL_AT).compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
}

/// Why a command could not be sent.
#[derive(Debug, Error)]
pub enum SendError {
    /// The file is missing or not ours.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The data directory could not be read or locked.
    #[error("data directory")]
    Io(#[from] std::io::Error),
    /// Another process is sending.
    #[error("another process holds the command ring")]
    Busy,
    /// The hot process does not take commands.
    #[error("command ring is full: {SLOTS} commands wait for the hot process")]
    Full,
    /// No session has been started in the directory.
    #[error("no session in this data directory")]
    NoSession,
}

/// The end of everybody else.
#[derive(Debug)]
pub struct CommandSender {
    file: MappedFile,
    session: u64,
}

/// Sets the kill switch of a data directory: the word of whoever runs on it first, because a full disk must not stand in
/// its way, then the latch.
///
/// # Errors
///
/// The latch could not be stored; the word is set if a process runs.
pub fn set_kill_switch(data: &DataDir, why: &str) -> std::io::Result<()> {
    if let Ok(Some(current)) = data.current_session()
        && let Ok(sender) = CommandSender::open(&current.shared_dir.join("command"))
    {
        sender.kill();
    }
    data.set_kill_latch(why)
}

impl CommandSender {
    /// Opens the command file at `path`.
    ///
    /// # Errors
    ///
    /// When it is missing, too short or of another layout.
    pub fn open(path: &Path) -> Result<Self, MemoryError> {
        let file = MappedFile::open(path, BYTES as u64)?;
        if file.u64_at(0).load(Ordering::Acquire) != MAGIC || file.u64_at(8).load(Ordering::Relaxed) != LAYOUT
        {
            let source = std::io::Error::other("not a command file of this layout");
            return Err(MemoryError::Io { path: path.to_owned(), source });
        }
        let session = file.u64_at(16).load(Ordering::Relaxed);
        Ok(Self { file, session })
    }

    /// Sets the kill word. Needs no lock and waits for nobody.
    pub fn kill(&self) {
        store_kill(&self.file);
    }

    /// True while the kill word is set.
    pub fn is_killed(&self) -> bool {
        self.file.u64_at(KILL_AT).load(Ordering::Acquire) != 0
    }

    /// Position up to which a lane is durable, as the archiver acknowledged it.
    pub fn acknowledged(&self, lane: u16) -> u64 {
        self.file.u64_at(ACKS_AT + usize::from(lane) * 64).load(Ordering::Acquire)
    }

    /// Acknowledges that a lane is durable up to `position`. Never goes back.
    pub fn acknowledge(&self, lane: u16, position: u64) {
        self.file.u64_at(ACKS_AT + usize::from(lane) * 64).fetch_max(position, Ordering::AcqRel);
    }

    /// Appends a command to the ring and returns its id. `taken` is what the status file says the hot
    /// process has taken.
    ///
    /// # Errors
    ///
    /// [`SendError::Busy`] when another process is sending, [`SendError::Full`] when nobody takes.
    pub fn send(
        &self,
        data: &DataDir,
        taken: u64,
        order: impl Into<Order>,
        valid_for: Duration,
    ) -> Result<u64, SendError> {
        let Order { verb, scope, detail } = order.into();
        let (scope, target) = scope.parts();
        let _lock = wait_for_lock(data)?;
        let head = self.file.u64_at(HEAD_AT);
        let sequence = head.load(Ordering::Acquire).checked_add(1).ok_or(SendError::Full)?;
        if sequence > taken + SLOTS as u64 {
            return Err(SendError::Full);
        }
        // Unique because the monotonic clock moved since the last holder of the lock.
        let now = host_ns_now();
        let mut command = Command {
            verb: verb as u16,
            sequence,
            session: self.session,
            id: now,
            deadline_host_ns: now + valid_for.as_nanos() as u64,
            scope,
            target,
            ..Command::new_zeroed()
        };
        detail.fill(&mut command);
        command.crc32c = command.checksum();
        self.file.copy_from(slot_at(sequence), command.as_bytes());
        // Release: publishes the slot.
        head.store(sequence, Ordering::Release);
        Ok(command.id)
    }
}

fn wait_for_lock(data: &DataDir) -> Result<FileLock, SendError> {
    let patience = Instant::now() + Duration::from_secs(2);
    loop {
        if let Some(lock) = data.try_lock(LOCK_NAME)? {
            return Ok(lock);
        }
        if Instant::now() > patience {
            return Err(SendError::Busy);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(dir: &Path) -> (CommandFile, CommandSender, DataDir) {
        let path = dir.join("command");
        let hot = CommandFile::create(&path, 7, false).unwrap();
        (hot, CommandSender::open(&path).unwrap(), DataDir::open(dir).unwrap())
    }

    #[test]
    fn commands_arrive_in_order_with_session_and_id() {
        let dir = tempfile::tempdir().unwrap();
        let (hot, sender, data) = pair(dir.path());
        let a = sender.send(&data, 0, Verb::Arm, Duration::from_secs(1)).unwrap();
        let b = sender.send(&data, 0, Verb::Disarm, Duration::from_secs(1)).unwrap();
        let first = hot.next_after(0).unwrap().unwrap();
        let second = hot.next_after(1).unwrap().unwrap();
        assert_eq!((first.id, first.verb(), first.session), (a, Some(Verb::Arm), 7));
        assert_eq!((second.id, second.verb()), (b, Some(Verb::Disarm)));
        assert_ne!(a, b);
        assert_eq!(hot.next_after(2), Ok(None));
    }

    #[test]
    fn a_full_ring_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let (_hot, sender, data) = pair(dir.path());
        for _ in 0..SLOTS {
            sender.send(&data, 0, Verb::CancelAll, Duration::from_secs(1)).unwrap();
        }
        assert!(matches!(sender.send(&data, 0, Verb::Arm, Duration::from_secs(1)), Err(SendError::Full)));
    }

    #[test]
    fn damaged_slots_are_not_commands() {
        let dir = tempfile::tempdir().unwrap();
        let (hot, sender, data) = pair(dir.path());
        sender.send(&data, 0, Verb::Arm, Duration::from_secs(1)).unwrap();
        sender.file.copy_from(slot_at(1) + 4, &[9]);
        assert_eq!(hot.next_after(0), Err(DamagedCommand));
    }

    #[test]
    fn a_head_far_ahead_is_followed_to_the_slots_that_exist() {
        let dir = tempfile::tempdir().unwrap();
        let (hot, sender, data) = pair(dir.path());
        sender.send(&data, 0, Verb::Arm, Duration::from_secs(1)).unwrap();
        assert_eq!(hot.lost_after(0), 0);
        for head in [SLOTS as u64 + 5, u64::MAX] {
            sender.file.u64_at(HEAD_AT).store(head, Ordering::Release);
            assert_eq!(hot.lost_after(0), head - SLOTS as u64);
            assert_eq!((hot.lost_after(head - SLOTS as u64), hot.lost_after(u64::MAX)), (0, 0));
        }
    }

    #[test]
    fn random_slots_are_never_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let (hot, sender, _) = pair(dir.path());
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for i in 1..=100_000_u64 {
            let mut bytes = [0; SLOT_BYTES];
            for chunk in bytes.chunks_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                chunk.copy_from_slice(&state.to_le_bytes());
            }
            sender.file.copy_from(slot_at(i), &bytes);
            sender.file.u64_at(HEAD_AT).store(i, Ordering::Release);
            assert_eq!(hot.next_after(i - 1), Err(DamagedCommand));
        }
    }

    #[test]
    fn the_first_kill_stamp_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (hot, sender, _) = pair(dir.path());
        sender.kill();
        let first = hot.kill_word();
        sender.kill();
        assert_eq!(hot.kill_word(), first);
        hot.clear_kill();
        assert!(!sender.is_killed());
    }
}
