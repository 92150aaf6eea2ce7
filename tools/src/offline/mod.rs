//! Offline tools: books from captures, journals, replay. They read files and open no socket.

pub mod book;
pub mod journal;
pub mod pnl;
pub mod replay;
pub mod why;
