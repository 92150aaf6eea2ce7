//! Orders that wait for a person.

crate::labelled_enum! {
    /// What became of an order that waits for a person.
    pub enum HeldChange: u16 {
        Held = 1, "held", "It waits for a person.";
        Approved = 2, "approved", "A person approved it; the limits are looked at anew.";
        Denied = 3, "denied", "A person denied it.";
        Expired = 4, "expired", "Nobody approved it in time.";
        Withdrawn = 5, "withdrawn", "Its strategy wants it no more, or what was open was canceled.";
    }
}
