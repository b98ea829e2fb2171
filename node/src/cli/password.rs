//! Where a password comes from: asked on a terminal, or the first line of a file.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::cli::output::note;
use crate::exit::{Code, INTERRUPTED};
use crate::problem::{Outcome, Problem, file_problem};
use crate::view::Password;

/// Fewest characters of a new password. Specification: DETAILS *Accounts*.
const CHARACTERS_MIN: usize = 10;

/// Longest first line of a password file, in bytes. A guess: a local request carries it with room to spare.
const LINE_BYTES_MAX: u64 = 4096;

/// A new password: asked twice.
pub(crate) fn chosen(file: Option<&Path>) -> Outcome<Password> {
    let password = match file {
        Some(file) => from_file(file)?,
        None => {
            let password = asked("New password: ")?;
            if *password != *asked("The same again: ")? {
                return Err(
                    Problem::new(Code::PasswordMismatch, "the two passwords differ").hint("try again")
                );
            }
            password
        }
    };
    if password.chars().count() < CHARACTERS_MIN {
        let message = format!("the password has fewer than {CHARACTERS_MIN} characters");
        return Err(Problem::new(Code::PasswordShort, message).hint("choose a longer one"));
    }
    Ok(Password(password))
}

/// The password of an account that exists.
pub(crate) fn known(file: Option<&Path>) -> Outcome<Password> {
    file.map_or_else(|| asked("Password: "), from_file).map(Password)
}

fn asked(prompt: &str) -> Outcome<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        return Err(Problem::new(Code::PasswordNeeded, "there is no terminal to ask for the password on")
            .hint("use --password-file FILE, or --password-file - and write it to standard input"));
    }
    let unreadable =
        |error: io::Error| Problem::new(Code::PasswordNeeded, format!("can't read the password: {error}"));
    let before = tcgetattr(io::stdin()).map_err(|error| unreadable(error.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unreadable)?;
    let answer = runtime.block_on(async {
        let prompt = prompt.to_owned();
        let answer = tokio::task::spawn_blocking(|| rpassword::prompt_password(prompt).map(Zeroizing::new));
        tokio::select! {
            answer = answer => answer.map_err(io::Error::other).and_then(|answer| answer),
            _ = tokio::signal::ctrl_c() => Err(io::ErrorKind::Interrupted.into()),
        }
    });
    if answer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
        // The prompt switched the echo off, and may still wait: nothing else would switch it on again.
        if let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, &before) {
            tracing::debug!(%error, "the echo stays off");
        }
        note("");
        std::process::exit(INTERRUPTED.into());
    }
    answer.map_err(unreadable)
}

fn from_file(path: &Path) -> Outcome<Zeroizing<String>> {
    let unreadable =
        |error: io::Error| file_problem(Code::PasswordNeeded, "can't read the password from", path, &error);
    // All at once: a text that grows leaves copies behind.
    let mut line = Zeroizing::new(String::with_capacity(LINE_BYTES_MAX as usize));
    if path == Path::new("-") {
        io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line).map_err(unreadable)?;
    } else {
        let file = fs::File::open(path).map_err(unreadable)?;
        io::BufReader::new(file.take(LINE_BYTES_MAX)).read_line(&mut line).map_err(unreadable)?;
    }
    if line.len() as u64 == LINE_BYTES_MAX {
        let message = format!("the first line of {} is too long for a password", named(path));
        return Err(Problem::new(Code::PasswordNeeded, message).hint("is it the right file?"));
    }
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    if line.is_empty() {
        let message = format!("there is no password in {}", named(path));
        return Err(Problem::new(Code::PasswordNeeded, message).hint("its first line is the password"));
    }
    Ok(line)
}

fn named(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password_and_ten_characters_are_enough() {
        // Goal: editors' line ends don't count, short ones are refused. Method: three files.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "pässwörter\r\nmore\n").unwrap();
        assert_eq!(*chosen(Some(&path)).unwrap().0, "pässwörter");
        fs::write(&path, "123456789\n").unwrap();
        assert_eq!(chosen(Some(&path)).unwrap_err().code, Code::PasswordShort);
        fs::write(&path, "\nafterwards it is too late").unwrap();
        assert_eq!(known(Some(&path)).unwrap_err().code, Code::PasswordNeeded);
    }
}
