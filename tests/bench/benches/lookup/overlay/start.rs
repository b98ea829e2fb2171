//! From the start of a child's process, which has its certificate, to its first right look-up.

use std::time::{Duration, Instant};

use callbook_e2e::{Network, Peer, Process, R_OF_THREE};
use redb::{Database, TableDefinition};

use super::{REPEATS, finds, measured, row, socket};
use crate::sample::Sample;

const SUPERPEERS: usize = 6;
/// Specification: issue 3.
const COLD_BAR: Duration = Duration::from_millis(300);
/// Specification: issue 3.
const WARM_BAR: Duration = Duration::from_millis(100);

pub(super) fn run() {
    let network = Network::start_with(R_OF_THREE);
    let _supers = network.many_superpeers(SUPERPEERS);
    let [home, mut child] = network.children();
    home.enrol("alice");
    child.enrol("bob");
    child.wait("registered");
    let (mut cold, mut warm) = (Sample::default(), Sample::default());
    for _ in 0..REPEATS {
        for (forgets, sample) in [(true, &mut cold), (false, &mut warm)] {
            child.stop();
            if forgets {
                forget_contacts(&child);
            }
            sample.add(started(&network, &mut child, &home));
            child.wait("registered");
        }
    }
    row("child started, host cache empty: first look-up", &cold, Some(COLD_BAR));
    row("child started, host cache kept: first look-up", &warm, Some(WARM_BAR));
}

/// Starts a child and asks it for a name until it answers.
fn started(network: &Network, child: &mut Peer, home: &Peer) -> Duration {
    let (socket, up) = (socket(child).to_owned(), child.up());
    let began = Instant::now();
    let process = Process::start(&network.room, child.name(), up);
    let time = measured(began, "the first look-up", || finds(&socket, "alice", home));
    child.process = Some(process);
    time
}

/// Takes the host cache and the anchors out of a child's store.
fn forget_contacts(child: &Peer) {
    let database = Database::create(child.data().join("store.redb")).expect("a store");
    let write = database.begin_write().expect("a transaction");
    let contacts = TableDefinition::<&[u8], &[u8]>::new("contacts");
    write.open_table(contacts).expect("a table").retain(|_, _| false).expect("emptied");
    let anchors = TableDefinition::<u64, &[u8]>::new("anchors");
    write.open_table(anchors).expect("a table").retain(|_, _| false).expect("emptied");
    write.commit().expect("a commit");
}
