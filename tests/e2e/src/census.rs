//! Who stores what: all superpeers of a network with their places, asked of one of them.

use callbook_net::transport_peer;
use callbook_overlay::Username;
use callbook_overlay::key::Key;
use callbook_overlay::network::Network as Facts;
use callbook_overlay::wire::{Closest, Get, Hint, Known, Message};
use libp2p::Multiaddr;

use crate::{Authority, Network, Peer, Stranger};

/// The superpeers that one superpeer knows, the login server's node among them.
pub struct Census {
    facts: Facts,
    hints: Vec<Hint>,
}

impl Census {
    /// Asks `peer`, a superpeer, for all that it knows.
    ///
    /// # Panics
    /// It doesn't answer as a superpeer does.
    #[must_use]
    pub fn take(network: &Network, peer: &Peer) -> Self {
        Self::take_at(network, &peer.address())
    }

    /// The same of whoever listens there.
    ///
    /// # Panics
    /// As [`Self::take`].
    #[must_use]
    pub fn take_at(network: &Network, address: &Multiaddr) -> Self {
        let Authority { facts, .. } = Authority::of(network);
        let mut stranger = greeted(&facts, address);
        let answer = stranger.ask(Message::Closest(Closest {
            key: Key::from_bytes([0; 32]),
            count: 20,
            known: Known::default(),
            remembered: Known::default(),
        }));
        let Some(Message::Hints(hints)) = answer else { panic!("no hints: {answer:?}") };
        Self { facts, hints: hints.hints }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.hints.len()
    }

    /// The hint of one of them.
    ///
    /// # Panics
    /// It is not among them.
    #[must_use]
    pub fn hint(&self, id: &str) -> Hint {
        let hint = self.hints.iter().find(|hint| transport_peer(&hint.peer()).to_string() == id);
        hint.unwrap_or_else(|| panic!("{id} is not known")).clone()
    }

    /// All places.
    #[must_use]
    pub fn places(&self) -> Vec<Key> {
        self.hints.iter().map(|hint| hint.certificate.node_id(&self.facts.id)).collect()
    }

    /// PeerIds of the `r` closest to a name's key, nearest first.
    ///
    /// # Panics
    /// It is no name.
    #[must_use]
    pub fn storers(&self, name: &str, r: u64) -> Vec<String> {
        let key = self.facts.name_key(&Username::parse(name).expect("a username"));
        let mut hints: Vec<&Hint> = self.hints.iter().collect();
        hints.sort_by_key(|hint| hint.certificate.node_id(&self.facts.id).distance(&key));
        let nearest = hints.into_iter().take(usize::try_from(r).unwrap_or(usize::MAX));
        nearest.map(|hint| transport_peer(&hint.peer()).to_string()).collect()
    }

    /// The first of many names of which all of the `r` storers are among `peers`, and how it is stored.
    ///
    /// # Panics
    /// There is none: fewer peers than storers.
    #[must_use]
    pub fn name_stored_by(&self, stem: &str, r: u64, peers: &[&Peer]) -> (String, Vec<String>) {
        let names = (0..10_000).map(|number| format!("{stem}-{number}"));
        let stored = |name: String| {
            let storers = self.storers(&name, r);
            let all = storers.iter().all(|storer| peers.iter().any(|peer| peer.id() == storer));
            all.then_some((name, storers))
        };
        names.into_iter().find_map(stored).expect("some name lies between these peers")
    }
}

/// Who of some superpeers holds records, by asking each; the links stay for the next time.
pub struct Poll {
    facts: Facts,
    asked: Vec<(String, Multiaddr, Stranger)>,
}

impl Poll {
    /// Gets ready to ask these, which must be superpeers that run, and the login server's node if that
    /// runs, which is called `server`.
    #[must_use]
    pub fn of<'a>(network: &Network, peers: impl IntoIterator<Item = &'a Peer>) -> Self {
        let Authority { facts, .. } = Authority::of(network);
        let peers = peers.into_iter().map(|peer| (peer.id().to_owned(), peer.address()));
        let server = network.server_address().map(|address| ("server".to_owned(), address));
        let asked = peers.chain(server).map(|(id, address)| {
            let stranger = greeted(&facts, &address);
            (id, address, stranger)
        });
        let asked = asked.collect();
        Self { facts, asked }
    }

    /// Those that hold a device record of this name now.
    ///
    /// # Panics
    /// One of them has gone.
    pub fn holders(&mut self, name: &str) -> Vec<String> {
        let key = self.facts.name_key(&Username::parse(name).expect("a username"));
        let mut holders = Vec::new();
        for (id, address, stranger) in &mut self.asked {
            let mut answer = stranger.ask(Message::Get(Get { key, known: Known::default() }));
            if answer.is_none() {
                // A superpeer doesn't keep a stranger for long.
                *stranger = greeted(&self.facts, address);
                answer = stranger.ask(Message::Get(Get { key, known: Known::default() }));
            }
            match answer {
                Some(Message::Got(got)) if !got.records.is_empty() => holders.push(id.clone()),
                Some(_) => {}
                None => panic!("{id} has gone"),
            }
        }
        holders
    }
}

fn greeted(facts: &Facts, address: &Multiaddr) -> Stranger {
    let mut stranger = Stranger::meet(facts, address.clone());
    stranger.greet(facts, None);
    stranger
}
