//! `census export`: the book's sessions, for those who want to do their own sums.
//!
//! One session a line, with a header. Superpeers are named by PeerId, as they name each other; no child is in the
//! book.

use std::time::Duration;

use callbook_net::transport_peer;
use serde::Serialize;

use super::book::{Book, SessionRow};
use super::sessions::State;
use super::since;
use crate::cli::output::Printer;
use crate::clock::{self, rfc3339};
use crate::config::Config;
use crate::exit::Code;
use crate::problem::{Outcome, Problem};

/// The columns.
const HEADER: &str = "peer,agent,begun,first,last,length_secs,state,reason,closed,failures,recovered,flaps";

#[derive(Debug, Serialize)]
struct Exported {
    sessions: Vec<Line>,
}

/// One session.
#[derive(Debug, Serialize)]
struct Line {
    peer: String,
    agent: String,
    /// Whether its beginning was observed; else it is only known to be at least so long.
    begun: bool,
    first: String,
    last: String,
    length_secs: u64,
    state: &'static str,
    reason: Option<&'static str>,
    closed: Option<String>,
    failures: u32,
    recovered: u32,
    flaps: u32,
}

/// Prints them.
///
/// # Errors
/// The user: there is no book.
pub(super) async fn run(config: &Config, within: Duration, printer: Printer) -> Outcome<u8> {
    let book = book(config).await?;
    let rows = book.sessions(since(clock::wall(), within)).await?;
    book.close().await;
    let exported = Exported { sessions: rows.iter().map(line).collect() };
    printer.result(&exported, csv);
    Ok(0)
}

/// The book of an earlier census, or of one that runs.
pub(super) async fn book(config: &Config) -> Outcome<Book> {
    let path = config.data.join("census").join("sessions.sqlite");
    if !path.exists() {
        let message = format!("there is no census in {}", config.data.display());
        return Err(Problem::new(Code::FileUnreadable, message).hint("take one first: callbook census"));
    }
    Book::open(&path).await
}

fn line(row: &SessionRow) -> Line {
    let session = &row.session;
    let (state, reason) = match session.state {
        State::Open => ("open", None),
        State::Pending => ("pending", None),
        State::Closed(reason) => ("closed", Some(reason.word())),
    };
    Line {
        peer: transport_peer(&row.peer).to_string(),
        agent: row.agent.clone(),
        begun: session.begun,
        first: rfc3339(session.first),
        last: rfc3339(session.last),
        length_secs: session.length().as_secs(),
        state,
        reason,
        closed: session.closed.map(rfc3339),
        failures: session.failures,
        recovered: session.recovered,
        flaps: session.flaps,
    }
}

/// RFC 4180, with plain line ends.
fn csv(exported: &Exported) -> String {
    let mut text = HEADER.to_owned();
    for line in &exported.sessions {
        let columns = [
            line.peer.clone(),
            quoted(&line.agent),
            line.begun.to_string(),
            line.first.clone(),
            line.last.clone(),
            line.length_secs.to_string(),
            line.state.to_owned(),
            line.reason.unwrap_or_default().to_owned(),
            line.closed.clone().unwrap_or_default(),
            line.failures.to_string(),
            line.recovered.to_string(),
            line.flaps.to_string(),
        ];
        text.push('\n');
        text.push_str(&columns.join(","));
    }
    text
}

/// What a stranger wrote: no line breaks, and nothing that a spreadsheet takes for a formula.
fn quoted(text: &str) -> String {
    let text = crate::cli::output::plain(text).replace('"', "\"\"");
    let formula = text.starts_with(['=', '+', '-', '@']);
    format!("\"{}{text}\"", if formula { "'" } else { "" })
}

#[cfg(test)]
mod tests {
    use callbook_overlay::key::PeerId;
    use callbook_overlay::time::Unix;

    use super::super::sessions::visited;
    use super::*;

    #[test]
    fn a_session_is_a_line_and_what_strangers_wrote_stays_in_its_column() {
        // Goal: readable by any reader of CSV. Method: a session of one whose agent is a formula with quotes,
        // commas and a line break.
        let session = visited(None, Ok(()), Unix::from_secs(0), true).begun.unwrap();
        let agent = "=x(\"1,2\")\n".to_owned();
        let row = SessionRow { peer: PeerId::from_bytes([1; 32]), agent, session };
        let text = csv(&Exported { sessions: vec![line(&row)] });
        let (header, rest) = text.split_once('\n').unwrap();
        assert_eq!(header, HEADER);
        let (peer, rest) = rest.split_once(',').unwrap();
        assert!(peer.starts_with("12D3KooW"), "{peer}");
        assert_eq!(
            rest,
            "\"'=x(\"\"1,2\"\")\u{fffd}\",true,1970-01-01T00:00:00Z,1970-01-01T00:00:00Z,0,open,,,0,0,0"
        );
    }
}
