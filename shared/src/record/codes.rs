//! The numbers that stand in payloads for what happened and why.

crate::labelled_enum! {
    /// Why the trading state changed.
    pub enum StateReason: u16 {
        Command = 2, "command", "An operator's command.";
        Kill = 3, "kill", "The kill word was set.";
        JournalExhausted = 5, "journal_exhausted", "The journal has no free segment left.";
        OutcomesLost = 6, "outcomes_lost", "The engine did not drain its outcomes.";
        KillCleared = 8, "kill_cleared", "The kill latch was released.";
        Tampering = 9, "tampering", "A journal file was replaced, truncated or removed.";
        PositionMismatch = 10, "position_mismatch", "The venue's position differed from the one by fills.";
        ForeignActivity = 11, "foreign_activity", "Somebody else trades on the account.";
        Throttled = 12, "throttled", "Too many orders were refused as too many, doubled or against own ones.";
    }
}

crate::labelled_enum! {
    /// Why a book's validity changed.
    pub enum BookChange: u16 {
        Valid = 1, "valid", "Snapshot and diffs meet; the book is complete.";
        Gap = 2, "gap", "A diff does not follow the one before.";
        Crossed = 3, "crossed", "Best bid at or above best ask, or a side empty.";
        Disconnected = 4, "disconnected", "The connection of the stream was lost.";
        BufferFull = 8, "buffer_full", "Too many diffs arrived before their snapshot.";
        PollGap = 9, "poll_gap", "The engine was not polled for more than a second.";
    }
}

crate::labelled_enum! {
    /// Codes of session events.
    pub enum EventCode: u16 {
        Started = 1, "started", "The hot process started.";
        Stopped = 2, "stopped", "The hot process stopped in order.";
        Connected = 3, "connected", "A connection to the venue is up.";
        ConnectFailed = 4, "connect_failed", "A connection to the venue could not be made.";
        Disconnected = 5, "disconnected", "A connection to the venue was lost.";
        RestFailed = 6, "rest_failed", "A REST request failed.";
        Setting = 7, "setting", "How a setting of the host or the process was taken.";
        Warning = 8, "warning", "Something works with reduced guarantees.";
        Reconciliation = 9, "reconciliation", "Progress or trouble of the reconciliation.";
        Panic = 10, "panic", "A hot thread found a broken invariant and aborts.";
        Tampering = 11, "tampering", "A shared file was replaced, truncated or removed.";
        KillLatch = 12, "kill_latch", "The kill latch was set or released.";
        Private = 13, "private", "An account event that needs attention.";
        Rules = 14, "rules", "The venue changed the rules of an instrument.";
        Breaker = 15, "breaker", "A breaker tripped or let go.";
        Held = 16, "held", "An order waits for a person, or does so no more.";
        RestingStop = 17, "resting_stop", "A stop at the venue was reached or refused.";
        Money = 18, "money", "A wallet moved by more than trades and funding explain.";
    }
}

crate::labelled_enum! {
    /// Severity of a session event.
    pub enum Severity: u16 {
        Info = 1, "info", "For the record.";
        Warning = 2, "warning", "Reduced guarantees.";
        Error = 3, "error", "Something failed.";
    }
}
