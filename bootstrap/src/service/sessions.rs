//! Logins between their two messages.
//!
//! In memory only: a restart makes a client begin again. At the bound, what is too old goes first; then
//! newcomers are refused. A session ends with its first use.

use std::collections::HashMap;
use std::time::Duration;

use callbook_login::Refusal;
use callbook_login::opaque::LoginState;
use callbook_overlay::key::PeerId;
use callbook_overlay::name::Username;
use callbook_overlay::time::Instant;

use crate::limits::{SESSION_LIFE, SESSIONS_MAX};

/// One login that has begun.
pub(super) struct Session {
    pub(super) peer: PeerId,
    pub(super) username: Username,
    /// `None`: there is no such account, which nobody must notice.
    pub(super) account: Option<i64>,
    pub(super) state: LoginState,
    pub(super) begun: Instant,
}

#[derive(Default)]
pub(super) struct Sessions(HashMap<[u8; 16], Session>);

impl Sessions {
    /// How many have begun and not been used; some of them may be too old.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Keeps a session until it is used.
    pub(super) fn add(&mut self, id: [u8; 16], session: Session) -> Result<(), Refusal> {
        if self.0.len() >= SESSIONS_MAX {
            let now = session.begun;
            self.0.retain(|_, old| now.since(old.begun) <= SESSION_LIFE);
        }
        if self.0.len() >= SESSIONS_MAX {
            return Err(Refusal::RateLimited { retry_after: Duration::from_secs(10) });
        }
        self.0.insert(id, session);
        Ok(())
    }

    /// Takes the session that this peer began, if it is not too old.
    pub(super) fn take(&mut self, id: &[u8; 16], peer: &PeerId, now: Instant) -> Option<Session> {
        // Another peer's guess must not end the session.
        if self.0.get(id)?.peer != *peer {
            return None;
        }
        self.0.remove(id).filter(|session| now.since(session.begun) <= SESSION_LIFE)
    }
}
