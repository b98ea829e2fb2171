//! The login/bootstrap server.

use std::process::ExitCode;

fn main() -> ExitCode {
    callbook_bootstrap::cli::run(std::env::args_os())
}
