//! Where a password comes from: asked on a terminal, or the first line of a file.

use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::Path;

use zeroize::Zeroizing;

use crate::exit::Code;
use crate::problem::{Outcome, Problem, file_problem};
use crate::view::Password;

/// Fewest characters of a new password. Specification: DETAILS *Accounts*.
const CHARACTERS_MIN: usize = 10;

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
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|error| Problem::new(Code::PasswordNeeded, format!("can't read the password: {error}")))
}

fn from_file(path: &Path) -> Outcome<Zeroizing<String>> {
    let unreadable =
        |error: io::Error| file_problem(Code::PasswordNeeded, "can't read the password from", path, &error);
    let mut line = Zeroizing::new(String::new());
    if path == Path::new("-") {
        io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
    } else {
        let file = fs::File::open(path).map_err(unreadable)?;
        io::BufReader::new(file).read_line(&mut line).map_err(unreadable)?;
    }
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    if line.is_empty() {
        let message = format!("no password in {}", path.display());
        return Err(Problem::new(Code::PasswordNeeded, message).hint("its first line is the password"));
    }
    Ok(line)
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
