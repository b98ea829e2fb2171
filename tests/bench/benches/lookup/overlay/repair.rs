//! From SIGKILL of one of a name's three storers until three hold it again.
//!
//! No superpeer is killed so often that the others would put its repair off.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use callbook_e2e::{Census, Network, Poll, R_OF_THREE, all_know, at_once, until};
use callbook_overlay::limits::RETURNS_MAX;

use super::{REPEATS, measured, row};
use crate::sample::Sample;

const SUPERPEERS: usize = 6;
/// Networks side by side: they mostly wait.
const NETWORKS: usize = 2;
/// Each time it goes, and comes back.
const DEATHS_MAX: u32 = RETURNS_MAX / 2;
/// Specification: a superpeer that nobody asks is missed when QUIC gives its connection up (30 s, DETAILS
/// *Links*), and its records are counted 0–10 s after that (DETAILS *Records*).
const BAR: Duration = Duration::from_secs(30 + 10);

pub(super) fn run() {
    let mut sample = Sample::default();
    for time in at_once(0..NETWORKS, |_| one()).into_iter().flatten() {
        sample.add(time);
    }
    row("one of three storers killed: three hold it again", &sample, Some(BAR));
}

fn one() -> Vec<Duration> {
    let network = Network::start_with(R_OF_THREE);
    let mut supers = network.many_superpeers(SUPERPEERS);
    let owner = network.many_children(1).remove(0);
    let (mut times, mut deaths) = (Vec::new(), HashMap::<String, u32>::new());
    for repeat in 0..REPEATS / NETWORKS {
        let parent = until("the owner is attached", || owner.parent());
        let census = Census::take(&network, &supers[0]);
        let calm: Vec<_> = supers.iter().filter(|peer| peer.id() != parent).collect();
        let (name, nearest) = (0..1_000)
            .map(|choice| census.name_stored_by(&format!("repair-{repeat}-{choice}"), 1, &calm))
            .find(|(_, nearest)| deaths.get(&nearest[0]).is_none_or(|deaths| *deaths < DEATHS_MAX))
            .expect("some superpeer has been killed less often");
        *deaths.entry(nearest[0].clone()).or_default() += 1;
        owner.enrol(&name);
        let mut poll = Poll::of(&network, &supers);
        until("three hold it", || (poll.holders(&name).len() >= 3).then_some(()));
        let mut poll = Poll::of(&network, supers.iter().filter(|peer| peer.id() != nearest[0]));
        let victim = supers.iter_mut().find(|peer| peer.id() == nearest[0]).expect("one of ours");
        let began = Instant::now();
        victim.kill();
        times.push(measured(began, "three hold it again", || poll.holders(&name).len() >= 3));
        victim.start();
        victim.wait("superpeer");
        all_know(&supers, SUPERPEERS + 1);
    }
    times
}
