//! Everything the hot process counts, each counter written by one thread and readable from outside.

crate::labelled_enum! {
    /// Counters of the status file. Numbers are part of its layout: append, never renumber.
    pub enum Counter: u16 {
        Frames = 0, "frames", "Market-data frames received.";
        FrameBytes = 1, "frame_bytes", "Payload bytes of market-data frames received.";
        DepthFrames = 2, "depth_frames", "Depth diffs decoded.";
        TickerFrames = 3, "ticker_frames", "Best bid and offer updates decoded.";
        TradeFrames = 4, "trade_frames", "Public trades decoded.";
        MarkFrames = 5, "mark_frames", "Mark prices decoded.";
        FallbackFrames = 6, "fallback_frames", "Frames of an irregular shape, read by the general parser.";
        IgnoredFrames = 7, "ignored_frames", "Well-formed frames of a kind we do not use.";
        DecodeErrors = 8, "decode_errors", "Frames that could not be decoded.";
        UnknownSymbols = 9, "unknown_symbols", "Frames of a symbol that is not configured.";
        FramesRingFull = 10, "frames_ring_full", "Frames dropped because the engine did not drain its ring.";
        FeedStalls = 11, "feed_stalls", "Polls in which an offline run held its source back.";
        DepthApplied = 12, "depth_applied", "Depth diffs applied to a book.";
        DepthBeforeSnapshot = 13, "depth_before_snapshot", "Depth diffs older than the snapshot, skipped.";
        DepthDuplicates = 14, "depth_duplicates", "Depth diffs seen before, skipped.";
        DepthBuffered = 15, "depth_buffered", "Depth diffs kept while a snapshot was awaited.";
        BookGaps = 16, "book_gaps", "Times a book became invalid because an update was missed.";
        BookCrossed = 17, "book_crossed", "Times a book became invalid because it was crossed or empty.";
        Snapshots = 18, "snapshots", "Snapshots applied to a book.";
        SnapshotsTooOld = 19, "snapshots_too_old", "Snapshots older than every buffered diff, fetched again.";
        OffTickLevels = 20, "off_tick_levels", "Levels off the tick grid, kept in the book.";
        BookOverflow = 21, "book_overflow", "Levels dropped because a side of the book was full.";
        Intents = 22, "intents", "Intents the engine sent to the gateway.";
        IntentsRingFull = 23, "intents_ring_full", "Intents dropped because the gateway did not drain its ring.";
        OutcomesRingFull = 24, "outcomes_ring_full", "Outcomes the engine did not drain; trading halts.";
        Refusals = 25, "refusals", "Intents refused by a limit.";
        OrdersSent = 26, "orders_sent", "Orders handed to the socket.";
        OrdersAccepted = 27, "orders_accepted", "Orders accepted by the venue.";
        OrdersRejected = 28, "orders_rejected", "Orders rejected by the venue.";
        OrdersUnknown = 29, "orders_unknown", "Orders whose outcome became unknown.";
        OrdersResolved = 30, "orders_resolved", "Unknown outcomes resolved by proof.";
        OrdersFilled = 31, "orders_filled", "Orders filled completely.";
        OrdersExpired = 32, "orders_expired", "Orders ended without being filled completely.";
        CancelsSent = 33, "cancels_sent", "Cancel requests handed to the socket.";
        Fills = 34, "fills", "Executions of our orders.";
        FillsDuplicate = 35, "fills_duplicate", "Executions reported again and counted once.";
        FillsForeign = 36, "fills_foreign", "Executions on the account that no order of this session explains.";
        PrivateFrames = 37, "private_frames", "Frames received on the private sockets.";
        PrivateIgnored = 38, "private_ignored", "Private frames of a kind we do not use.";
        PrivateErrors = 39, "private_errors", "Private frames that could not be decoded.";
        Reconnects = 40, "reconnects", "Connections established after the first of their kind.";
        CommandsRefused = 41, "commands_refused", "Commands refused: damaged, expired, repeated or of another session.";
        AckViolations = 42, "ack_violations", "Archiver acknowledgements beyond what is published, ignored.";
        PollGaps = 43, "poll_gaps", "Times a hot stage was not polled for more than a second.";
        ClockJumps = 44, "clock_jumps", "Times the processor's counter left the system clock.";
        OutcomesForeign = 45, "outcomes_foreign", "Orders on the account that this session did not send.";
        SequenceAnomalies = 46, "ticker_out_of_order", "Best bid and offer updates older than one seen before, skipped.";
        FillsEarly = 47, "fills_early", "Executions told before the event that tells all of them.";
        PositionMismatches = 48, "position_mismatches", "Times a position by the venue's count differed from the one by fills.";
        LineCopies = 49, "line_copies", "Updates that another line had delivered before.";
        LineEarly = 50, "line_early", "Diffs of a line that is not in step with the others yet, skipped.";
        LinesLost = 51, "lines_lost", "Lines lost while another one carried on.";
        LinksSilent = 52, "links_silent", "Connections ended because nothing was heard on them.";
        AmendsSent = 53, "amends_sent", "Requests for another price and quantity handed to the socket.";
        TickersUnsound = 54, "tickers_unsound", "Best bid and offer updates that were crossed or lacked a side, skipped.";
        TradesRepeated = 55, "trades_repeated", "Public trades taken before, or of a time that only they tell, skipped.";
    }
}

/// Room for counters in the status file.
pub const COUNTERS_MAX: usize = 128;

const _: () = assert!(Counter::ALL.len() <= COUNTERS_MAX);

crate::labelled_enum! {
    /// Where time goes between a tick and an order. Each is a histogram written by one thread.
    pub enum Stage: u16 {
        Decode = 0, "decode", "Read returned to frame decoded: diffs, what came behind other frames, and whatever goes to another thread.";
        Hop = 1, "hop", "Frame decoded to frame taken by the engine.";
        Book = 2, "book", "Diff or snapshot taken by the engine to book updated.";
        Decide = 3, "decide", "Book updated, or best prices taken (on one thread: their read returned), to strategy decided.";
        TickToDecision = 4, "tick_to_decision", "Read returned to strategy decided, every tick.";
        Risk = 5, "risk", "Strategy decided to all limits passed; the intent is journalled in between.";
        Encode = 6, "encode", "Limits passed to order encoded; with HMAC journalled and signed, too.";
        Write = 7, "write", "Order encoded to write returned; without HMAC it is journalled in between.";
        TickToTrade = 8, "tick_to_trade", "Read of the tick returned to write of the order returned.";
        OrderToAck = 9, "order_to_ack", "Write of the order returned to venue's answer read.";
        OrderToFill = 10, "order_to_fill", "Write of the order returned to fill read.";
        Kernel = 11, "kernel", "Packet taken by the kernel to read returned, where receive stamps are on.";
        LeadA = 12, "lead_a", "An update on the first line to its next copy on another line.";
        LeadB = 13, "lead_b", "An update on the second line to its next copy on another line.";
        LeadC = 14, "lead_c", "An update on the third line to its next copy on another line.";
        LeadD = 15, "lead_d", "An update on the fourth line to its next copy on another line.";
    }
}

/// Room for histograms in the status file.
pub const STAGES_MAX: usize = 24;

const _: () = assert!(Stage::ALL.len() <= STAGES_MAX);
