//! What the machine is and does: the checklist, the hiccup meter, and the live view of a session.

pub mod doctor;
pub mod jitter;
pub mod top;
