//! Printing: results on standard output as text or JSON, problems on standard error (or, with
//! `--json`, as a document too).
//!
//! What other peers wrote (display names, entries, agents) goes through [`plain`] before a terminal
//! sees it.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::problem::Problem;
use crate::view::{Document, Failed};

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    /// JSON instead of text.
    pub(crate) json: bool,
}

impl Printer {
    /// Prints a result: as a document, or the text that `text` makes of it.
    pub(crate) fn result<T: Serialize>(self, content: &T, text: impl FnOnce(&T) -> String) {
        if self.json { self.document(content) } else { line(&mut io::stdout().lock(), &text(content)) }
    }

    /// Prints a JSON document on one line.
    pub(crate) fn document<T: Serialize>(self, content: &T) {
        match serde_json::to_string(&Document::new(content)) {
            Ok(json) => line(&mut io::stdout().lock(), &json),
            Err(error) => line(&mut io::stderr().lock(), &format!("error: no JSON: {error}")),
        }
    }

    /// Reports what went wrong.
    pub(crate) fn problem(self, problem: &Problem) {
        if self.json { self.document(&Failed { error: problem }) } else { note(&problem_text(problem)) }
    }
}

/// The three lines of a problem.
pub(crate) fn problem_text(problem: &Problem) -> String {
    lines_of("error", problem)
}

/// The same of one that there is an answer in spite of.
pub(crate) fn warning_text(problem: &Problem) -> String {
    lines_of("warning", problem)
}

fn lines_of(kind: &str, problem: &Problem) -> String {
    let mut text = format!("{kind}: {}", plain_lines(&problem.message));
    if let Some(hint) = &problem.hint {
        text.push_str(&format!("\n  help: {}", plain_lines(hint)));
    }
    text.push_str(&format!("\n  code: {}", problem.code.as_str()));
    text
}

/// A message for the person, on standard error.
pub(crate) fn note(text: &str) {
    line(&mut io::stderr().lock(), text);
}

/// Whoever read our output may be gone (`| head`); that is no reason to fail.
fn line(out: &mut impl Write, text: &str) {
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Text without what could move a cursor, change a colour or turn the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_plain(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A path as a shell reads it back: quoted if it holds more than plain characters.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%:=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A table without lines; columns are cut to a terminal's width, never off one.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let arrangement = match io::stdout().is_terminal() {
        true => ContentArrangement::Dynamic,
        false => ContentArrangement::Disabled,
    };
    table.set_content_arrangement(arrangement).set_header(header).add_rows(rows);
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Lines of a label and a value; empty values are left out.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let shown = fields.iter().filter(|(_, value)| !value.is_empty());
    let width = fields.iter().map(|(label, _)| label.len()).max().unwrap_or_default() + 2;
    shown.map(|(label, value)| format!("{label:width$}{value}")).collect::<Vec<_>>().join("\n")
}

/// A duration in the two largest units, as people say it.
pub(crate) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        (_, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Code;

    #[test]
    fn what_strangers_wrote_can_neither_colour_nor_reverse_a_terminal() {
        // Goal: no escape sequence gets through. Method: an ANSI sequence, a bell, a bidi override.
        assert_eq!(plain("a\u{1b}[31mb\u{7}\u{202e}c Ä 李"), "a\u{fffd}[31mb\u{fffd}\u{fffd}c Ä 李");
        assert_eq!(plain("a\u{61c}b\u{ad}c\u{e0041}d"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn a_problem_is_three_lines() {
        // Goal: what failed, what to do, and a code. Method: one with, one without hint.
        let problem = Problem::new(Code::NoDaemon, "no daemon runs").hint("start it: callbook up");
        insta::assert_snapshot!(problem_text(&problem), @r"
        error: no daemon runs
          help: start it: callbook up
          code: no_daemon
        ");
        assert_eq!(problem_text(&Problem::new(Code::Failed, "no")), "error: no\n  code: failed");
    }

    #[test]
    fn a_table_has_aligned_columns_and_no_lines() {
        // Goal: readable by people and by awk. Method: a snapshot.
        let rows = [["alice".to_owned(), "1".to_owned()], ["bo".to_owned(), "22".to_owned()]];
        assert_eq!(table(["NAME", "N"], rows), " NAME   N\n alice  1\n bo     22");
    }

    #[test]
    fn a_path_that_is_printed_can_be_pasted_into_a_shell() {
        // Goal: spaces and quotes survive. Method: a plain path, one with both, an empty one.
        let said = ["/srv/cb-1", "/my files/it's", ""].map(|path| shell_word(Path::new(path)));
        assert_eq!(said, ["/srv/cb-1", r"'/my files/it'\''s'", "''"]);
    }

    #[test]
    fn durations_have_at_most_two_units() {
        // Goal: short and exact enough. Method: one of each size.
        let said: Vec<_> = [5, 65, 3_700, 90_000].into_iter().map(duration).collect();
        assert_eq!(said, ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]);
    }
}
