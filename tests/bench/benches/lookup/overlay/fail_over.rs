//! From SIGKILL of a parent, or of two storers, to the first right look-up.

use std::time::{Duration, Instant};

use callbook_e2e::{Census, Network, Peer, R_OF_THREE, Signal, all_know, at_once, until};

use super::{REPEATS, device, finds, measured, row, socket};
use crate::sample::Sample;

const SUPERPEERS: usize = 6;
const CHILDREN: usize = 12;
/// Specification: issue 3, on TCP, which children use to their parents.
const BAR: Duration = Duration::from_secs(1);

struct Town {
    network: Network,
    supers: Vec<Peer>,
    children: Vec<Peer>,
}

#[derive(Default)]
struct Samples {
    of_its_children: Sample,
    of_others: Sample,
    new_record: Sample,
    past_storers: Sample,
}

pub(super) fn run() {
    let network = Network::start_with(R_OF_THREE);
    let (supers, children) = (network.many_superpeers(SUPERPEERS), network.many_children(CHILDREN));
    let mut town = Town { network, supers, children };
    at_once(&town.children, |child| {
        child.enrol(child.name());
        child.wait("registered");
    });
    let mut samples = Samples::default();
    for _ in 0..REPEATS {
        town.kill_a_parent(&mut samples);
    }
    for _ in 0..REPEATS {
        town.kill_two_storers(&mut samples);
    }
    let Samples { of_its_children, of_others, new_record, past_storers } = &samples;
    row("parent killed: its children find others (TCP)", of_its_children, Some(BAR));
    row("parent killed: others find its children", of_others, Some(BAR));
    row("parent killed: others find the record of the new parent", new_record, None);
    row("two of three storers killed: found past them (QUIC)", past_storers, Some(BAR));
}

impl Town {
    /// The one with most children.
    fn kill_a_parent(&mut self, samples: &mut Samples) {
        let parents = at_once(&self.children, |child| until("it is attached", || child.parent()));
        let most = |peer: &&mut Peer| parents.iter().filter(|parent| *parent == peer.id()).count();
        let victim = self.supers.iter_mut().max_by_key(most).expect("there are superpeers");
        let of_victim = |index: &usize| parents[*index] == victim.id();
        let (mine, others): (Vec<usize>, Vec<usize>) = (0..self.children.len()).partition(of_victim);
        let Some(other) = others.first().map(|other| &self.children[*other]) else { return };
        let began = kill(victim);
        let its_children = mine.iter().map(|index| &self.children[*index]);
        let times = at_once(its_children, |child| {
            std::thread::scope(|scope| {
                let found = scope.spawn(|| {
                    measured(began, "it finds another", || finds(socket(child), other.name(), other))
                });
                let seen = measured(began, "another finds it", || finds(socket(other), child.name(), child));
                let moved = measured(began, "its record names a parent that lives", || {
                    let device = device(socket(other), child.name());
                    device.is_some_and(|device| device["parent"] != victim.id())
                });
                (found.join().expect("it finds another"), seen, moved)
            })
        });
        for (found, seen, moved) in times {
            samples.of_its_children.add(found);
            samples.of_others.add(seen);
            samples.new_record.add(moved);
        }
        self.restart(|peer| peer.process.as_ref().is_some_and(|process| !callbook_e2e::alive(process.id())));
    }

    /// Those of a name that an asker's parent has to ask others for.
    fn kill_two_storers(&mut self, samples: &mut Samples) {
        let census = Census::take(&self.network, &self.supers[0]);
        let parents = at_once(&self.children, |child| until("it is attached", || child.parent()));
        let ours = |id: &String| self.supers.iter().any(|peer| peer.id() == id);
        let pair = (0..CHILDREN * CHILDREN).find_map(|pair| {
            let (home, asker) = (pair / CHILDREN, pair % CHILDREN);
            let storers = census.storers(self.children[home].name(), R_OF_THREE);
            let distant = !storers.contains(&parents[asker]) && parents[home] != parents[asker];
            let two: Vec<String> =
                storers.into_iter().filter(ours).filter(|id| *id != parents[home]).collect();
            (distant && two.len() >= 2).then(|| (home, asker, two[..2].to_vec()))
        });
        let Some((home, asker, two)) = pair else { return };
        let (home, asker) = (&self.children[home], &self.children[asker]);
        let dying = self.supers.iter_mut().filter(|peer| two.iter().any(|id| id == peer.id()));
        let began = dying.map(kill).last().expect("there are two");
        samples.past_storers.add(measured(began, "it is found", || finds(socket(asker), home.name(), home)));
        self.restart(|peer| two.iter().any(|id| id == peer.id()));
    }

    /// Starts those again that were killed, and waits until all is as before.
    fn restart(&mut self, killed: impl Fn(&Peer) -> bool) {
        at_once(self.supers.iter_mut().filter(|peer| killed(peer)), |peer| {
            peer.kill();
            peer.start();
            peer.wait("superpeer");
        });
        all_know(&self.supers, SUPERPEERS + 1);
        at_once(&self.children, |child| child.wait("registered"));
    }
}

/// Kills without waiting for the end; when that was.
fn kill(peer: &mut Peer) -> Instant {
    peer.process.as_ref().expect("it runs").signal(Signal::KILL);
    Instant::now()
}
