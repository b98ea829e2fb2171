//! What goes wrong in a world: many stop at once, disks are lost, the network parts.
//!
//! *Not here*: when (`scenario`).

use callbook_overlay::api::{LinkId, Transport};

use super::{Event, World};
use crate::network::{Carriage, Conditions, IDLE_TIMEOUT};
use crate::peers::{Departure, Kind, LOGIN};
use crate::time::Micros;

impl World {
    /// A share of the peers of a kind that run stop within a time, the login server aside; who they are.
    pub fn stop_share(&mut self, kind: Kind, share: f64, departure: Departure) -> Vec<u32> {
        let mut all: Vec<u32> = self.running(kind).iter().copied().filter(|peer| *peer != LOGIN).collect();
        let random = &mut self.chance.faults;
        for index in (1..all.len()).rev() {
            all.swap(index, random.index(index + 1));
        }
        all.truncate((all.len() as f64 * share).round() as usize);
        for peer in &all {
            self.stop(*peer, departure);
        }
        all
    }

    /// A peer that does not run starts at a time, unless it has until then.
    pub fn start_at(&mut self, peer: u32, at: Micros) {
        let life = self.peers[peer as usize].life;
        self.queue.push(at.max(self.now + 1), Event::Start { peer, life });
    }

    /// A number for a scenario's own choices.
    pub fn draw(&mut self, least: u64, most: u64) -> u64 {
        self.chance.faults.between(least, most)
    }

    /// Whether a peer runs.
    #[must_use]
    pub fn runs(&self, peer: u32) -> bool {
        self.peers[peer as usize].runs()
    }

    /// How the network behaves, to be changed.
    pub fn conditions(&mut self) -> &mut Conditions {
        &mut self.network.conditions
    }

    /// The store of a peer that does not run is lost, and its host cache.
    pub fn wipe(&mut self, peer: u32) {
        let peer = &mut self.peers[peer as usize];
        if let Some(disk) = peer.disk.as_deref_mut().filter(|_| peer.overlay.is_none()) {
            disk.wipe();
        }
    }

    /// A peer's disk is full from now on, until `free_disk`.
    pub fn fill_disk(&mut self, peer: u32) {
        self.note(|world| format!("the disk of {} is full", world.called(peer)));
        self.peers[peer as usize].full = true;
    }

    /// A peer's clock is wrong from now on.
    pub fn set_clock(&mut self, peer: u32, seconds: i32) {
        self.peers[peer as usize].skew = seconds;
    }

    /// Nothing passes any more between these peers and the others; their connections die in silence.
    pub fn part(&mut self, side: &[u32]) {
        self.note(|_| format!("{} peers are apart", side.len()));
        for peer in side {
            self.network.put_aside(*peer, 1);
        }
        for peer in side {
            for link in self.peers[*peer as usize].links.clone() {
                let across = self.links.find(link).filter(|found| self.network.parted(*peer, found.other));
                if let Some(found) = across {
                    self.break_link(link, found.other_end, found.transport);
                }
            }
        }
    }

    /// The network is whole again.
    pub fn join(&mut self) {
        self.note(|_| String::from("together again"));
        for peer in 0..self.len() {
            self.network.put_aside(peer, 0);
        }
    }

    fn break_link(&mut self, one: LinkId, other: LinkId, transport: Transport) {
        self.links.cut(one);
        let ends_itself =
            transport == Transport::Quic && self.settings.conditions.carriage == Carriage::Streams;
        if ends_itself {
            for end in [one, other] {
                let at = self.now + IDLE_TIMEOUT - self.chance.faults.below(IDLE_TIMEOUT / 3);
                self.queue.push(at, Event::Disconnected { end });
            }
        }
    }
}
