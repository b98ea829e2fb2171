//! `callbook top`: how this peer fares, in a terminal, until `q`.
//!
//! ```text
//!  daemon ◀── every 2 s: status, peers, history ──▶ Sight ──┐
//!  keyboard, size of the terminal ──▶ events ───────────────▶ Screen ──▶ draw
//! ```
//! The same numbers as on the daemon's page (`callbook ui`), over the local API: the charts are of the ring that
//! the daemon keeps of the last hour. A daemon that goes away is said so, and looked for until it is back.
//!
//! *Not here*: what the numbers mean (`view`), other forms of them (`status`, `peers`, the page).

mod charts;
mod draw;
mod screen;

use std::io::{self, IsTerminal};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::screen::{Screen, Sight, Wish};
use crate::cli::client::{Client, Request};
use crate::cli::output::Printer;
use crate::clock;
use crate::exit::{Code, INTERRUPTED};
use crate::problem::{Outcome, Problem};
use crate::view::{History, Peers, Status};

/// How often the daemon is asked. A guess: it takes a sample every five seconds.
const LOOK: Duration = Duration::from_secs(2);

/// How long an answer may take until it is said that there is none. A guess: it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Exit code after SIGTERM: 128 + 15, as shells have it.
const TERMINATED: u8 = 143;

/// Shows it until somebody has seen enough.
///
/// # Errors
/// The user: no terminal to draw on. No daemon, or no permission to ask it, at the start.
pub(crate) async fn top(client: Client, printer: Printer) -> Outcome<u8> {
    let elsewhere = |why: &str| {
        Problem::new(Code::Usage, why)
            .hint("callbook status --json and callbook peers --json print the same for scripts")
    };
    if printer.json {
        return Err(elsewhere("callbook top draws on a terminal and has no JSON"));
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(elsewhere("callbook top needs a terminal for what it draws and for the keys"));
    }
    if std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
        return Err(elsewhere(
            "callbook top needs a terminal on which it can move about (TERM says there is none)",
        ));
    }
    let first = Sight::of(&client).await?;
    let coloured = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let mut drawn = Drawn::begin()?;
    drawn.show(client, Screen::new(first, coloured)).await
}

impl Sight {
    /// Asks the daemon for everything.
    async fn of(client: &Client) -> Outcome<Self> {
        let (status, peers, history) = tokio::try_join!(
            client.call::<Status>(Request::get("/v1/status")),
            client.call::<Peers>(Request::get("/v1/peers")),
            client.call::<History>(Request::get("/v1/history?span=hour")),
        )?;
        let (status, peers, history) = (status.content, peers.content.peers, history.content);
        Ok(Self { status, peers, history, at: clock::wall() })
    }
}

/// The terminal while it is ours; it is given back as it was, however this ends.
struct Drawn(DefaultTerminal);

impl Drop for Drawn {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to give back.
        drop(ratatui::try_restore());
    }
}

impl Drawn {
    fn begin() -> Outcome<Self> {
        ratatui::try_init().map(Self).map_err(|error| broken(&error))
    }

    /// Draws whenever something is new.
    async fn show(&mut self, client: Client, mut screen: Screen) -> Outcome<u8> {
        let mut terminated = signal(SignalKind::terminate()).map_err(|error| broken(&error))?;
        let (mut sights, mut events) = (looks(client), presses());
        loop {
            self.0.draw(|frame| draw::all(frame, &mut screen)).map_err(|error| broken(&error))?;
            tokio::select! {
                event = events.recv() => {
                    let event = event.ok_or_else(|| broken(&io::Error::from(io::ErrorKind::UnexpectedEof)))?;
                    match screen.take(&event) {
                        Some(Wish::Leave) => return Ok(0),
                        Some(Wish::Interrupt) => return Ok(INTERRUPTED),
                        None => {}
                    }
                }
                Some(sight) = sights.recv() => screen.see(sight),
                _ = terminated.recv() => return Ok(TERMINATED),
            }
        }
    }
}

fn broken(error: &io::Error) -> Problem {
    Problem::new(Code::Failed, format!("the terminal can't be used: {error}"))
}

/// What the daemon says, again and again, until nobody listens.
fn looks(client: Client) -> mpsc::Receiver<Outcome<Sight>> {
    let (told, sights) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let late = || Problem::new(Code::Timeout, "the daemon doesn't answer");
            let sight = tokio::time::timeout(PATIENCE, Sight::of(&client)).await;
            if told.send(sight.unwrap_or_else(|_| Err(late()))).await.is_err() {
                return;
            }
        }
    });
    sights
}

/// Keys and new sizes. Reading them blocks, so it has a thread of its own, which ends with the process.
fn presses() -> mpsc::Receiver<Event> {
    let (told, events) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if told.blocking_send(event).is_err() {
                return;
            }
        }
    });
    events
}
