//! What a person, or a program on behalf of one, does to a running session: commands with their answers.

use crate::{
    command::{CommandOutcome, CommandSender, Order, SendError, Verb},
    memory::MemoryError,
    paths::DataDir,
    status::StatusReader,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use thiserror::Error;

/// How long a command may wait before it must not be carried out.
pub const VALID: Duration = Duration::from_secs(2);

/// Why a command was not carried out, or is not known to have been.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// No session was ever started.
    #[error("no session in {0}")]
    NoSession(String),
    /// Its files are gone.
    #[error("session {0} is over")]
    Gone(u64, #[source] MemoryError),
    /// Its process does not run.
    #[error("session {0} is over: hot process {1} does not run")]
    Over(u64, u32),
    /// The directory could not be read.
    #[error("data directory")]
    Io(#[from] std::io::Error),
    /// It could not be handed over.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The hot process refused it.
    #[error("{0}: {meaning}", meaning = .1.meaning())]
    Refused(Verb, CommandOutcome),
    /// A later build answered.
    #[error("{0}: outcome {1} of a later build")]
    Strange(Verb, u16),
    /// Nothing was heard of it: it may have been carried out.
    #[error("{0}: no answer of the hot process within {1} ms")]
    NoAnswer(Verb, u128),
}

/// A running session.
#[derive(Debug)]
pub struct Operator {
    /// What it shows.
    pub status: StatusReader,
    /// Its command file.
    pub sender: CommandSender,
}

impl Operator {
    /// The session that runs on a data directory.
    ///
    /// # Errors
    ///
    /// [`OperatorError`] when none does.
    pub fn open(data: &DataDir) -> Result<Self, OperatorError> {
        let current = data
            .current_session()?
            .ok_or_else(|| OperatorError::NoSession(data.root().display().to_string()))?;
        let gone = |e| OperatorError::Gone(current.session, e);
        let operator = Self {
            status: StatusReader::open(&current.shared_dir.join("status")).map_err(gone)?,
            sender: CommandSender::open(&current.shared_dir.join("command")).map_err(gone)?,
        };
        let pid = operator.status.identity().pid;
        if operator.status.is_stopped() || !Path::new(&format!("/proc/{pid}")).exists() {
            return Err(OperatorError::Over(current.session, pid));
        }
        Ok(operator)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`OperatorError`].
    pub fn send(&self, data: &DataDir, order: impl Into<Order>) -> Result<(), OperatorError> {
        let order = order.into();
        let id = self.sender.send(data, self.status.commands_taken(), order, VALID)?;
        let start = Instant::now();
        while start.elapsed() < VALID + Duration::from_millis(500) {
            if let Some(outcome) = self.status.answer_to(id) {
                return match CommandOutcome::from_repr(outcome) {
                    Some(CommandOutcome::Done) => Ok(()),
                    Some(other) => Err(OperatorError::Refused(order.verb, other)),
                    None => Err(OperatorError::Strange(order.verb, outcome)),
                };
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(OperatorError::NoAnswer(order.verb, start.elapsed().as_millis()))
    }
}
