//! What ends `serve`: SIGINT, SIGTERM, or stdin.

use std::io::Read as _;

use tokio::sync::oneshot;

use super::machine;
use crate::report::Report;

/// What ends the server.
pub(super) struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    stdin: oneshot::Receiver<()>,
    /// Kept when stdin doesn't matter, so that `stdin` never resolves.
    _stdin_open: Option<oneshot::Sender<()>>,
}

impl Stop {
    /// Listens from now on.
    pub(super) fn new(leave_with_stdin: bool) -> Result<Self, Report> {
        use tokio::signal::unix::{SignalKind, signal};
        let (closed, stdin) = oneshot::channel();
        let mut open = Some(closed);
        if leave_with_stdin && let Some(closed) = open.take() {
            // A thread of its own: a runtime would wait for a read that may never end.
            let read = move || {
                let mut rest = [0; 256];
                while matches!(std::io::stdin().read(&mut rest), Ok(read) if read > 0) {}
                drop(closed);
            };
            drop(std::thread::Builder::new().name("stdin".into()).spawn(read).map_err(machine)?);
        }
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(machine)?,
            terminate: signal(SignalKind::terminate()).map_err(machine)?,
            stdin,
            _stdin_open: open,
        })
    }

    /// Waits for the first, and names it.
    pub(super) async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = &mut self.stdin => "stdin closed",
        }
    }
}
