//! `callbook top` on a terminal: tmux's, which draws what it is sent and types what it is told.
//!
//! Needs `tmux` (a package of that name in most distributions); `.ci/run` installs it. Without it nothing is
//! checked but what needs no terminal, and that is said.

use std::path::PathBuf;
use std::process::Command;

use callbook_e2e::{Network, Peer, Process, Room, until};

/// Starts tmux's server with one window, and ends it when standard input closes.
const GUARD: &str = "tmux -u -S \"$0\" -f /dev/null new-session -d -x 80 -y 24 \"$@\"; read -r _; tmux -S \"$0\" kill-server 2>/dev/null; exit 0";

/// Runs `top` three times with a key between: as it is, without colours, without a daemon.
const ACTS: &str = "echo before; \"$@\"; echo \"first ended $?\"; read -r _; \
    NO_COLOR=1 \"$@\"; echo \"second ended $?\"; read -r _; \"$@\"; echo \"third ended $?\"; read -r _";

/// A window of tmux's.
struct Terminal {
    _server: Process,
    socket: PathBuf,
}

impl Terminal {
    /// Opens one in which `callbook top` is run as [`ACTS`] has it.
    fn open(room: &Room, peer: &Peer) -> Self {
        let socket = room.path("tmux");
        let top = peer.command(&["top"]);
        let mut command = Command::new("sh");
        let environment = top.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.env_clear().envs(environment).env("LC_ALL", "C.UTF-8").env("SHELL", "/bin/sh");
        command.args(["-c", GUARD]).arg(&socket).args(["sh", "-c", ACTS, "sh"]);
        command.arg(top.get_program()).args(top.get_args());
        Self { _server: Process::start(room, "tmux", command), socket }
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(&self.socket).env("LC_ALL", "C.UTF-8").args(arguments);
        let output = command.output().expect("tmux can be started");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// What stands there, as text.
    fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with its styles as escape sequences.
    fn escapes(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    fn shows(&self, what: &str) {
        until(&format!("the terminal shows {what:?}"), || self.text().contains(what).then_some(()));
    }
}

/// Whether any letter has a colour of its own. Source: ECMA-48 §8.3.117 (and 90 to 97, as terminals have them).
fn is_coloured(screen: &str) -> bool {
    let codes = screen.split("\u{1b}[").skip(1).filter_map(|rest| rest.split_once('m'));
    let mut numbers =
        codes.flat_map(|(codes, _)| codes.split(';')).filter_map(|code| code.parse::<u8>().ok());
    numbers.any(|code| matches!(code, 30..=38 | 90..=97))
}

/// Whether tmux is installed; says so if not.
fn has_tmux() -> bool {
    let found = Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success());
    if !found {
        #[expect(clippy::print_stderr, reason = "a test that checks nothing must say so")]
        {
            eprintln!("tmux is not installed: nothing is checked");
        }
    }
    found
}

#[test]
fn top_shows_a_child_and_its_names_at_every_size_and_leaves_the_terminal_as_it_was() {
    // Goal: figures, views, scrolling and sizes on a terminal as people have it; the daemon may go and come back.
    // Method: tmux's, keys typed and the screen read.
    if !has_tmux() {
        return;
    }
    let network = Network::start();
    let [mut child] = network.children();
    child.enrol("alice");
    child.find("alice");
    let terminal = Terminal::open(&network.room, &child);
    terminal.shows("callbook: child, attached");
    terminal.shows("alice, by ");
    terminal.press("Tab");
    terminal.shows("arrivals: ");
    assert!(is_coloured(&terminal.escapes()), "the control: charts have colours");
    terminal.press("Right");
    terminal.shows("unverified: ");
    terminal.press("5");
    terminal.shows("CERTIFICATE EXPIRES");

    terminal.tmux(&["resize-window", "-x", "40", "-y", "12"]);
    until("it is drawn anew in 12 lines of 40", || {
        let text = terminal.text();
        let fits = text.lines().count() == 12 && text.lines().all(|line| line.chars().count() <= 40);
        (fits && text.contains("q leave") && !text.contains("CERTIFICATE")).then_some(())
    });
    terminal.press("?");
    terminal.shows("next view");
    terminal.press("1");
    terminal.press("End");
    terminal.shows("peer ");

    child.stop();
    terminal.shows("daemon");
    child.start();
    until("it is back", || {
        let text = terminal.text();
        (!text.contains("daemon") && text.contains("callbook: child")).then_some(())
    });
    terminal.press("q");
    terminal.shows("first ended 0");
    terminal.shows("before");

    terminal.press("Enter");
    terminal.shows("callbook: child");
    terminal.press("2");
    terminal.shows("arrivals: ");
    assert!(!is_coloured(&terminal.escapes()), "{:?}", terminal.escapes());
    terminal.press("C-c");
    terminal.shows("second ended 130");

    child.stop();
    terminal.press("Enter");
    terminal.shows("third ended 4");
    terminal.shows("code: no_daemon");
}

#[test]
fn top_off_a_terminal_says_what_to_use_instead() {
    // Goal: a clear refusal, also for scripts that want JSON. Method: pipes, and --json.
    let network = Network::start();
    let [child] = network.children();
    let outcome = child.ask_for_text(&["top"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("callbook status --json"), "{outcome:?}");
    assert_eq!(outcome.stdout, "");
    child.ask(&["top"]).refused(2, "usage");
}
