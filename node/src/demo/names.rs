//! The list of usernames that a bulk demo takes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use callbook_bootstrap::usernames::{is_reserved, skeleton};
use callbook_login::files;
use callbook_overlay::name::Username;

use crate::exit::Code;
use crate::problem::{Outcome, Problem, file_problem};

/// Largest list that is read, in bytes. A guess: a million names.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// How many bad lines are shown. A guess.
const SHOWN_MAX: usize = 10;

/// Reads usernames, one a line; empty lines and those that begin with `#` are passed over.
///
/// # Errors
/// The user: bad, reserved or look-alike names, each with its line number.
pub(super) fn read(path: &Path) -> Outcome<Vec<Username>> {
    let text = files::read_bounded_text(path, FILE_BYTES_MAX)
        .map_err(|error| file_problem(Code::FileUnreadable, "can't read the names from", path, &error))?;
    let (names, bad) = parse(&text);
    if !bad.is_empty() {
        let shown: Vec<&str> = bad.iter().take(SHOWN_MAX).map(String::as_str).collect();
        let more = bad.len().saturating_sub(SHOWN_MAX);
        let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        let message = format!("{} holds bad lines:\n  {}{more}", path.display(), shown.join("\n  "));
        return Err(Problem::new(Code::NameInvalid, message).hint("mend or remove these lines"));
    }
    if names.is_empty() {
        let message = format!("there are no names in {}", path.display());
        return Err(Problem::new(Code::Usage, message).hint("write one username on each line"));
    }
    Ok(names)
}

fn parse(text: &str) -> (Vec<Username>, Vec<String>) {
    let (mut names, mut bad) = (Vec::new(), Vec::new());
    // Those that look alike count as one, as the login server has it.
    let mut seen = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match Username::parse(line) {
            Ok(name) if is_reserved(&name) => bad.push(format!("line {number}: {name} is reserved")),
            Ok(name) => match seen.entry(skeleton(&name)) {
                Entry::Occupied(before) => {
                    bad.push(format!("line {number}: {name} looks like line {}", before.get()));
                }
                Entry::Vacant(free) => {
                    free.insert(number);
                    names.push(name);
                }
            },
            Err(error) => bad.push(format!("line {number}: \"{}\": {error}", line.escape_debug())),
        }
    }
    (names, bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_double_and_reserved_names_are_reported_with_their_lines() {
        // Goal: the user can mend the list. Method: one of each, between good ones.
        let (names, bad) = parse("alice\n\n# people\nx\nAlice\nbob-2\r\na1ice\nabuse\n");
        assert_eq!(names.iter().map(Username::as_str).collect::<Vec<_>>(), ["alice", "bob-2"]);
        insta::assert_snapshot!(bad.join("\n"), @r#"
        line 4: "x": a username has 3 to 32 characters
        line 5: alice looks like line 1
        line 7: a1ice looks like line 1
        line 8: abuse is reserved
        "#);
    }
}
