//! Log lines on stderr, filtered by `--log` or `CALLBOOK_LOG`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::report::{Exit, Report};

/// Starts logging for the whole process; a second call changes nothing.
///
/// # Errors
/// The user: the filter can't be read.
pub fn start(filter: &str) -> Result<(), Report> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Report::new("log_filter", format!("the log filter `{filter}` cannot be read: {error}"))
            .hint("for example `--log info` or `--log callbook_bootstrap=debug,warn`")
            .exit(Exit::Usage)
    })?;
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    if let Err(error) = started {
        tracing::debug!(%error, "logging had been started before");
    }
    Ok(())
}
