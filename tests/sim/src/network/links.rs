//! Links: who is connected with whom, and what of a link each end still has.
//!
//! A link has two ends, which end one after the other: who closes has no link at once, the other side hears
//! of it after what was sent before. It goes to the slab for reuse when both have ended; a [`LinkId`] names
//! slot, side and how often the slot was used, so late events find nothing. A broken link has both ends and
//! carries nothing. *Not here*: latency (`super`), what peers do about it.

use callbook_overlay::api::{LinkId, Transport};

use crate::network::unasked::{Alive, Owed};
use crate::time::Micros;

/// One end of a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) peer: u32,
    /// Nothing sent from here arrives before this: what was sent before does.
    pub(crate) arrives: Micros,
    /// When something was sent from here last, and how much room its packet has left.
    pub(crate) sent: (Micros, u32),
    /// Acknowledgements.
    pub(crate) owed: Owed,
    /// Its peer has heard that it is up.
    pub(crate) up: bool,
    /// Its peer has none any more.
    pub(crate) ended: bool,
}

#[derive(Debug)]
struct Link {
    use_count: u32,
    transport: Transport,
    broken: bool,
    alive: Alive,
    ends: [End; 2],
}

/// An end that was found, and what its link is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) peer: u32,
    pub(crate) other: u32,
    pub(crate) other_end: LinkId,
    pub(crate) transport: Transport,
    pub(crate) broken: bool,
}

/// All links.
#[derive(Debug, Default)]
pub(crate) struct Links {
    slots: Vec<Link>,
    free: Vec<u32>,
}

fn id(use_count: u32, slot: u32, side: usize) -> LinkId {
    LinkId(u64::from(use_count) << 32 | u64::from(slot) << 1 | side as u64)
}

fn parts(id: LinkId) -> (u32, usize, usize) {
    ((id.0 >> 32) as u32, (id.0 as u32 >> 1) as usize, (id.0 & 1) as usize)
}

impl Links {
    /// A new link, not up at either end until then: the dialler's end, then the other one.
    pub(crate) fn open(&mut self, dialler: u32, other: u32, transport: Transport, up: Micros) -> [LinkId; 2] {
        let owed = Owed::default();
        let end = |peer| End { peer, arrives: 0, sent: (Micros::MAX, 0), owed, up: false, ended: false };
        let alive = Alive::since(up);
        let ends = [end(dialler), end(other)];
        let slot = if let Some(slot) = self.free.pop() {
            let link = &mut self.slots[slot as usize];
            *link = Link { use_count: link.use_count + 1, transport, broken: false, alive, ends };
            slot
        } else {
            self.slots.push(Link { use_count: 0, transport, broken: false, alive, ends });
            (self.slots.len() - 1) as u32
        };
        let use_count = self.slots[slot as usize].use_count;
        [id(use_count, slot, 0), id(use_count, slot, 1)]
    }

    /// An end that has not ended.
    pub(crate) fn find(&self, end: LinkId) -> Option<Found> {
        let (use_count, slot, side) = parts(end);
        let link = self.slots.get(slot).filter(|link| link.use_count == use_count)?;
        let found = Found {
            peer: link.ends[side].peer,
            other: link.ends[1 - side].peer,
            other_end: id(use_count, slot as u32, 1 - side),
            transport: link.transport,
            broken: link.broken,
        };
        (!link.ends[side].ended).then_some(found)
    }

    /// An end that [`Self::find`] has found.
    pub(crate) fn end(&mut self, end: LinkId) -> &mut End {
        let (_, slot, side) = parts(end);
        &mut self.slots[slot].ends[side]
    }

    /// Signs of life on the link of an end that [`Self::find`] has found.
    pub(crate) fn alive(&mut self, end: LinkId) -> &mut Alive {
        let (_, slot, _) = parts(end);
        &mut self.slots[slot].alive
    }

    /// The link carries nothing any more.
    pub(crate) fn cut(&mut self, end: LinkId) {
        let (_, slot, _) = parts(end);
        self.slots[slot].broken = true;
    }

    /// This end is over; whether it was there.
    pub(crate) fn finish(&mut self, end: LinkId) -> bool {
        let (use_count, slot, side) = parts(end);
        let Some(link) = self.slots.get_mut(slot).filter(|link| link.use_count == use_count) else {
            return false;
        };
        if core::mem::replace(&mut link.ends[side].ended, true) {
            return false;
        }
        if link.ends[1 - side].ended {
            // From now on nobody finds it, until it is used again.
            link.use_count += 1;
            self.free.push(slot as u32);
        }
        true
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use callbook_overlay::api::Transport;

    use super::Links;

    #[test]
    fn an_end_is_found_until_it_has_ended_and_never_by_an_old_name() {
        // Goal: late events find nothing. Method: end both ends, reuse the slot, look for all names.
        let mut links = Links::default();
        let [ours, theirs] = links.open(3, 8, Transport::Tcp, 0);
        let found = links.find(ours).expect("it is there");
        assert_eq!((found.peer, found.other, found.other_end), (3, 8, theirs));
        assert!(links.finish(ours) && !links.finish(ours));
        assert!(links.find(ours).is_none() && links.find(theirs).is_some());
        assert!(links.finish(theirs) && !links.finish(theirs));
        let [again, _] = links.open(4, 9, Transport::Quic, 0);
        assert_eq!(links.len(), 1);
        assert_ne!(again, ours);
        assert!(links.find(ours).is_none() && links.find(theirs).is_none() && !links.finish(theirs));
        assert_eq!(links.find(again).map(|found| found.peer), Some(4));
    }
}
