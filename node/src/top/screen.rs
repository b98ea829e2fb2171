//! What is on the screen: what the daemon said last, and what its reader chose to look at.
//!
//! *Not here*: how it is drawn (`draw`), where events and answers come from (`mod`).

use callbook_overlay::time::Unix;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::problem::{Outcome, Problem};
use crate::view::{History, Peer, Status};

/// Lines that a page key moves by. A guess: most of a small terminal.
const PAGE: usize = 8;

/// What the daemon said.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) status: Status,
    pub(super) peers: Vec<Peer>,
    pub(super) history: History,
    /// When.
    pub(super) at: Unix,
}

/// What can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Overview,
    Churn,
    Lookups,
    Peers,
    Names,
}

impl View {
    pub(super) const ALL: [Self; 5] = [Self::Overview, Self::Churn, Self::Lookups, Self::Peers, Self::Names];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Churn => "Churn",
            Self::Lookups => "Look-ups",
            Self::Peers => "Peers",
            Self::Names => "Names",
        }
    }

    /// The one so many places on, around the end.
    fn beside(self, places: usize) -> Self {
        let index = Self::ALL.iter().position(|view| *view == self).unwrap_or_default();
        Self::ALL[(index + places) % Self::ALL.len()]
    }
}

/// What a key asks for that the screen can't do itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Leave,
    Interrupt,
}

/// All that is drawn.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) sight: Sight,
    /// Why there is nothing newer.
    pub(super) trouble: Option<Problem>,
    pub(super) view: View,
    /// Lines above the first that is shown; drawing corrects it.
    pub(super) scrolled: usize,
    /// The keys are explained.
    pub(super) help: bool,
    pub(super) coloured: bool,
}

impl Screen {
    pub(super) fn new(sight: Sight, coloured: bool) -> Self {
        Self { sight, trouble: None, view: View::Overview, scrolled: 0, help: false, coloured }
    }

    /// Takes what the daemon says now; what it said before stays if it says nothing.
    pub(super) fn see(&mut self, sight: Outcome<Sight>) {
        match sight {
            Ok(sight) => (self.sight, self.trouble) = (sight, None),
            Err(problem) => self.trouble = Some(problem),
        }
    }

    /// Does what a key says. (After anything else, such as a new size, it is drawn anew anyway.)
    pub(super) fn take(&mut self, event: &Event) -> Option<Wish> {
        match event.as_key_event() {
            Some(key) if key.kind != KeyEventKind::Release => self.press(key),
            Some(_) | None => None,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other keys do nothing")]
    fn press(&mut self, key: KeyEvent) -> Option<Wish> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Wish::Interrupt);
        }
        match key.code {
            KeyCode::Char('q') => return Some(Wish::Leave),
            KeyCode::Esc if !self.help => return Some(Wish::Leave),
            KeyCode::Esc => self.help = false,
            KeyCode::Char('?') => self.help = !self.help,
            KeyCode::Tab | KeyCode::Right => self.show(self.view.beside(1)),
            KeyCode::BackTab | KeyCode::Left => self.show(self.view.beside(View::ALL.len() - 1)),
            KeyCode::Char(digit @ '1'..='5') => {
                let index = digit.to_digit(10).map_or(0, |digit| digit as usize - 1);
                self.show(View::ALL[index]);
            }
            KeyCode::Down => self.scrolled = self.scrolled.saturating_add(1),
            KeyCode::Up => self.scrolled = self.scrolled.saturating_sub(1),
            KeyCode::PageDown => self.scrolled = self.scrolled.saturating_add(PAGE),
            KeyCode::PageUp => self.scrolled = self.scrolled.saturating_sub(PAGE),
            KeyCode::Home => self.scrolled = 0,
            KeyCode::End => self.scrolled = usize::MAX,
            _ => {}
        }
        None
    }

    fn show(&mut self, view: View) {
        (self.view, self.scrolled, self.help) = (view, 0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Code;
    use crate::top::draw::tests::sight;

    fn press(screen: &mut Screen, code: KeyCode) -> Option<Wish> {
        screen.take(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    #[test]
    fn keys_choose_what_is_looked_at_and_q_leaves() {
        // Goal: every key that the help names does what it says. Method: press them.
        let mut screen = Screen::new(sight(), true);
        let mut shown = Vec::new();
        for _ in 0..5 {
            assert_eq!(press(&mut screen, KeyCode::Tab), None);
            shown.push(screen.view);
        }
        assert_eq!(shown, [View::Churn, View::Lookups, View::Peers, View::Names, View::Overview]);
        press(&mut screen, KeyCode::Left);
        assert_eq!(screen.view, View::Names);
        press(&mut screen, KeyCode::Char('4'));
        assert_eq!(screen.view, View::Peers);
        press(&mut screen, KeyCode::Char('?'));
        assert!(screen.help);
        assert_eq!(press(&mut screen, KeyCode::Esc), None);
        assert!(!screen.help);
        assert_eq!(press(&mut screen, KeyCode::Esc), Some(Wish::Leave));
        assert_eq!(press(&mut screen, KeyCode::Char('q')), Some(Wish::Leave));
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.take(&Event::Key(interrupt)), Some(Wish::Interrupt));
        assert_eq!(screen.take(&Event::Resize(40, 12)), None);
    }

    #[test]
    fn a_daemon_that_goes_away_leaves_what_it_said_last() {
        // Goal: trouble is told beside old figures, and forgotten when the daemon is back. Method: one of each.
        let mut screen = Screen::new(sight(), true);
        screen.see(Err(Problem::new(Code::NoDaemon, "no daemon runs")));
        assert_eq!(screen.trouble.as_ref().map(|problem| problem.code), Some(Code::NoDaemon));
        assert_eq!(screen.sight.status.role, "superpeer");
        screen.see(Ok(sight()));
        assert!(screen.trouble.is_none());
    }
}
