//! One change at a time to each name.
//!
//! Enrol, login, register, logout and renewal each ask the login server, write the name's file and tell
//! the overlay. Two of them at once could bring a name back that was just forgotten, or certify a device
//! key that nobody keeps. Look-ups take no turn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as Lock, PoisonError, Weak};

use callbook_overlay::name::Username;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Whose turn it is, for each name that somebody changes.
#[derive(Debug, Default)]
pub(crate) struct Turns(Lock<BTreeMap<Username, Weak<Mutex<()>>>>);

impl Turns {
    /// Waits for the turn to change a name; first come, first served.
    pub(super) async fn take(&self, username: &Username) -> OwnedMutexGuard<()> {
        self.of(username).lock_owned().await
    }

    fn of(&self, username: &Username) -> Arc<Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(username).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(username.clone(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_to_a_name_wait_for_each_other_and_leave_nothing_behind() {
        // Goal: one at a time for a name, none for another, no growth. Method: hold one name's turn and
        // poll for both; let go; ask for a third.
        let turns = Turns::default();
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Username::parse(name).unwrap());
        let held = turns.take(&alice).await;
        assert!(turns.of(&alice).try_lock().is_err(), "alice is being changed");
        drop(turns.take(&bob).await);
        drop(held);
        drop(turns.take(&alice).await);
        drop(turns.take(&carol).await);
        assert_eq!(turns.0.lock().unwrap().len(), 1, "only the last one asked for");
    }
}
