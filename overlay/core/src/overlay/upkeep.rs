//! A superpeer's upkeep: knowing the others, and streams to those it should have.
//!
//! Streams are kept to the [`NEAR`] closest and to
//! [`WARM`] others; once a minute a look-up of our own place finds new neighbours.
//! The warm ones are spread over the key space by giving each bucket its share, and over address groups
//! by caps; who is linked already stays, so a newcomer drives nobody out. Some of them only we choose
//! ([`OUTBOUND_SLOTS`]), so that those who come to us can't be all whom we hear.
//!
//! Every now and then one that is gone is dialled, and one that we have not dialled for long: what
//! nobody uses or speaks of is found out too. *Not here*: what others say (`gossip`, `rumours`),
//! hand-over (`moving`).

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::room::Room;
use super::walks::Owner;
use super::{Overlay, Timer};
use crate::api::{Effect, Kin, LinkId, Notice, Role, Seen, Write};
use crate::certificate::NodeCertificate;
use crate::group::{Caps, is_global};
use crate::key::{Key, PeerId};
use crate::limits::{
    DOUBTED_DIALS, HELLO_INTERVAL, HOST_CACHE_HEARSAY, NEAR, OUTBOUND_SLOTS, PROBE_EVERY, PROBE_INTERVAL,
    REDIAL_INTERVAL, REDIAL_QUIC_EACH, REDIAL_STRETCH_MAX, REDIAL_SUPERPEERS, REFRESH_INTERVAL, REFRESH_SOON,
    SEEK_INTERVAL_MAX, SEEK_STRETCH, SWEEP_INTERVAL, UNVERIFIED_DIALS_BURST, UPKEEP_DIALS, UPKEEP_INTERVAL,
    UPKEEP_PAUSE, WARM, WARM_AT_ONCE, WARM_DIAL_EVERY,
};
use crate::lookup::Goal;
use crate::map::{Cause, Contact, Learned, Reach};
use crate::network::Scope;
use crate::time::Instant;
use crate::wire::{Hint, Placed};

/// Whom a superpeer keeps streams to.
#[derive(Debug)]
pub(super) struct Streams {
    /// As of its last choice.
    pub(super) chosen: BTreeSet<PeerId>,
    /// The same, in the order in which they are opened.
    wanted: Vec<PeerId>,
    /// They may be others by now.
    pub(super) due: bool,
    /// When they were opened last, if none has been lost since.
    pub(super) at: Option<Instant>,
    /// To how many.
    pub(super) near: usize,
    pub(super) warm: usize,
}

impl Default for Streams {
    fn default() -> Self {
        let (chosen, wanted) = (BTreeSet::new(), Vec::new());
        Self { chosen, wanted, due: true, at: None, near: NEAR, warm: WARM }
    }
}

impl Streams {
    fn end(&mut self) {
        *self = Self { near: self.near, warm: self.warm, ..Self::default() };
    }
}

impl Overlay {
    /// Takes the role on; the same one again renews the certificate.
    pub(super) fn act(&mut self, role: Role) {
        if let Role::Superpeer(certificate) = &role {
            if certificate.node != self.me || !self.is_certified(certificate) {
                self.notice(Notice::CertificateExpired);
                // At the start: a child then.
                return self.attach_if_needed();
            }
            let id = certificate.node_id(&self.network.id);
            let was = self.is_superpeer();
            self.map.remove(&self.me);
            self.map.forgive(&self.me);
            self.map.stand_at(Some(id));
            let hint = Hint { certificate: certificate.clone(), addresses: self.addresses.clone() };
            self.map.learn(id, &hint, self.now.instant);
            self.act_as(role);
            if !was {
                self.counters.promotions += 1;
                self.see_superpeers();
                self.dial_anchors();
                self.detach();
                self.notice(Notice::Joined(id));
                if self.rumours.known_before {
                    self.say_back();
                }
                self.survey_soon();
                self.surveys.joined = self.now.instant;
                self.begin_balancing();
                self.begin_hand_over();
                self.refresh();
                self.upkeep_again();
                self.publish_all();
                self.resolve_waiting();
                self.watch_again();
            }
        } else {
            let was = self.is_superpeer();
            self.counters.demotions += u64::from(was);
            self.rumours.known_before |= was;
            // From now on we see nobody come and go.
            self.out.push(Effect::Seen { peer: self.me, seen: Seen::Blind });
            self.map.remove(&self.me);
            self.map.stand_at(None);
            self.streams.end();
            self.stop_moving();
            self.end_balancing();
            self.act_as(role);
            self.disown_children();
            self.stop_watching_for_others();
            if was || self.attaching.parent().is_none() {
                self.attach_if_needed();
            }
        }
    }

    fn act_as(&mut self, role: Role) {
        self.role = role;
        self.streams.due = true;
        // Neighbours hear of the new role by a hello; who connects later, by Open.
        let linked: Vec<(PeerId, LinkId)> = self.links.peers().map(|(peer, link)| (*peer, *link)).collect();
        for (peer, link) in linked {
            self.introduce_again(link);
            self.say_hello(link, peer);
            // What is needed now is not what was.
            self.look_within(link, HELLO_INTERVAL);
        }
    }

    /// Takes a hint into the map if a login key certified it. Returns its place if it is there.
    pub(super) fn learn(&mut self, hint: &Hint) -> Option<Key> {
        self.take_in_hint(hint).0
    }

    /// As [`Self::learn`], from an answer of `teller`: who tells too much that is not true is left.
    pub(super) fn learn_told(&mut self, teller: PeerId, hint: &Hint) -> Option<Key> {
        let (place, learned) = self.take_in_hint(hint);
        if learned.is_none()
            && let Some(link) = self.links.to(&teller)
        {
            self.bad_hint(link);
        }
        place
    }

    /// As [`Self::learn_told`], from a hello: whom we did not know is news for others too.
    pub(super) fn learn_news(&mut self, teller: PeerId, hint: &Hint) {
        let known = self.map.contact(&hint.peer()).is_some();
        if self.learn_told(teller, hint).is_some() && !known && self.is_superpeer() {
            self.tell_of(hint.peer());
        }
    }

    /// Something that the other side of a link told does not verify.
    pub(super) fn bad_hint(&mut self, link: LinkId) {
        self.counters.bad_hints += 1;
        // By a clock that is wrong nothing verifies.
        if !self.skewed && self.links.has_lied(link, self.now.instant) {
            self.counters.bad_links += 1;
            if let Some(liar) = self.links.get(link).map(|link| link.peer) {
                self.seen(liar, Seen::Banned);
            }
            self.close(link);
        }
    }

    /// The place of a superpeer that is in the map now, and what became of the hint; nothing if it does
    /// not verify.
    fn take_in_hint(&mut self, hint: &Hint) -> (Option<Key>, Option<Learned>) {
        let peer = hint.peer();
        if peer == self.me || !self.may_dial(hint) {
            return (None, Some(Learned::Refused));
        }
        let known = self.map.contact(&peer).filter(|known| known.hint().certificate == hint.certificate);
        let known = known.map(Contact::id);
        if known.is_none() && !self.is_certified(&hint.certificate) {
            return (None, None);
        }
        let id = known.unwrap_or_else(|| hint.certificate.node_id(&self.network.id));
        let pool = self.pool.as_deref();
        let share = |placed: Placed| match pool {
            Some(pool) => pool.share_placed(placed),
            None => Arc::new(placed),
        };
        let learned = self.map.learn_shared(id, hint, self.now.instant, share);
        match learned {
            Learned::New => {
                // What others say fills a part of the host cache; the rest is for those that answered.
                if self.contacts_kept.len() < HOST_CACHE_HEARSAY {
                    self.keep_contact(&peer);
                }
                if self.is_superpeer() {
                    if self.map.len() <= 2 {
                        self.hand_over_again();
                        self.publish_all();
                    }
                    self.stream_to(&id);
                }
                (Some(id), Some(learned))
            }
            Learned::Known => (Some(id), Some(learned)),
            Learned::Gone => {
                self.try_soon(peer);
                (None, Some(learned))
            }
            Learned::Refused => (None, Some(learned)),
        }
    }

    /// A superpeer has come to be known at a place: upkeep looks whether we want a stream to it, if we can want one.
    pub(super) fn stream_to(&mut self, place: &Key) {
        let full = self.streams.chosen.len() >= self.streams.near + self.streams.warm;
        let near = |own: &Key| self.map.is_among(place, own, self.streams.near + 1);
        if !full || self.map.place(&self.me).is_some_and(near) {
            self.streams.due = true;
            // To choose among many takes a walk over all of them.
            let few = self.map.len() <= self.streams.near + self.streams.warm;
            self.set_upkeep(if few { Duration::ZERO } else { UPKEEP_PAUSE });
        }
    }

    /// Somebody came, was there, or went; only superpeers see enough to say so.
    pub(super) fn seen(&mut self, peer: PeerId, seen: Seen) {
        if self.is_superpeer() {
            self.out.push(Effect::Seen { peer, seen });
        }
    }

    /// A superpeer has failed us, or left: out of the map, and what it held may have to move.
    pub(super) fn superpeer_gone(&mut self, peer: &PeerId, cause: Cause) {
        let place = self.map.contact(peer).map(|contact| contact.id());
        if place.is_some() {
            let lost = Seen::Lost { kin: Kin::Superpeer, heard: self.last_seen(peer) };
            self.seen(*peer, if cause == Cause::Left { Seen::Left } else { lost });
        }
        self.map.bury(peer, self.now.instant, cause);
        self.streams.due |= self.streams.chosen.contains(peer);
        self.works_no_more(*peer);
        // When many fail it is rather we who are cut off, and nobody's business.
        let failed = place.is_some() && cause != Cause::Left;
        if failed && self.is_superpeer() && self.map.reach(self.now.instant) > Reach::Few {
            self.counters.suspects_told += 1;
            self.gossip.suspect(*peer);
        }
        if let Some(place) = place {
            self.place_changed(*peer, place);
        }
    }

    /// When a superpeer that has failed us was there for certain: by its link, or by one that has ended just now. A link
    /// that was closed before that, for want of use, says nothing of when it went.
    fn last_seen(&self, peer: &PeerId) -> Instant {
        let now = self.now.instant;
        self.links.heard(peer).or_else(|| self.map.heard(peer, now)).unwrap_or(now)
    }

    /// As [`Self::learn`], from the superpeer that the hint is about: it knows best where it listens.
    pub(super) fn learn_from_itself(&mut self, hint: &Hint) -> Option<Key> {
        let known = self.map.contact(&hint.peer()).is_some();
        let id = self.learn(hint)?;
        if !known && self.is_superpeer() {
            self.tell_of(hint.peer());
        }
        if !hint.addresses.is_empty() {
            self.map.listens(&hint.peer(), &hint.addresses);
        }
        Some(id)
    }

    /// On a global network nobody is made to dial private addresses.
    fn may_dial(&self, hint: &Hint) -> bool {
        let addresses = &hint.addresses;
        self.network.scope == Scope::Local || addresses.iter().all(|address| is_global(address.ip))
    }

    pub(super) fn is_certified(&mut self, certificate: &NodeCertificate) -> bool {
        self.counters.verifications += 1;
        let now = self.now.unix;
        certificate.verify_cached(&self.network, now, &mut self.chains, &*self.verifier).is_ok()
    }

    /// A dial has ended: when half of them have, upkeep goes on with those that had to wait. Not while strangers may not be
    /// dialled, as most are that wait: it looks again by itself within seconds.
    pub(super) fn dial_more(&mut self) {
        if self.more_to_dial && self.requests.dials() <= UPKEEP_DIALS / 2 && self.may_dial_strangers() {
            self.more_to_dial = false;
            self.upkeep_again();
        }
    }

    /// Upkeep runs at the end of this turn, once.
    pub(super) fn upkeep_again(&mut self) {
        self.set_upkeep(Duration::ZERO);
    }

    /// Upkeep runs after a while at the latest.
    fn set_upkeep(&mut self, after: Duration) {
        let at = self.now.instant + after;
        if self.upkeep_at.is_some_and(|planned| planned <= at) {
            return;
        }
        if let Some(planned) = self.upkeep_at.replace(at) {
            self.cancel(planned, Timer::Upkeep);
        }
        self.timers.insert((at, Timer::Upkeep));
    }

    /// Dials those of the closest and the warm ones that have no stream, and looks after all that comes with it.
    pub(super) fn upkeep(&mut self) {
        if let Some(planned) = self.upkeep_at.take() {
            self.cancel(planned, Timer::Upkeep);
        }
        if !self.is_superpeer() || self.attaching.is_leaving() {
            return;
        }
        let Some(own) = self.map.place(&self.me).copied() else { return };
        self.recall_some();
        self.open_streams(&own);
        self.try_some();
        self.redial_gone();
        self.survey_if_new(&own);
        self.hand_over();
        self.hear_vouchers();
        self.ask_for_returns();
        // What that has led to has just been done.
        if let Some(planned) = self.upkeep_at.take() {
            self.cancel(planned, Timer::Upkeep);
        }
        self.set_upkeep(UPKEEP_INTERVAL);
    }

    /// Chooses those that we want streams to, if they can be others than before, and dials those of them that have
    /// none: when there may be one more to dial.
    fn open_streams(&mut self, own: &Key) {
        let now = self.now.instant;
        let since = self.streams.at.map(|at| now.since(at));
        if !self.streams.due && since.is_some_and(|since| since < WARM_DIAL_EVERY) {
            return;
        }
        if core::mem::take(&mut self.streams.due)
            || self.streams.wanted.len() < self.streams.near + self.streams.warm
        {
            let wanted = self.wanted(own);
            let streams: BTreeSet<PeerId> = wanted.iter().copied().collect();
            let former = core::mem::replace(&mut self.streams.chosen, streams);
            self.streams.wanted = wanted;
            let dropped = former.difference(&self.streams.chosen).filter_map(|peer| self.links.to(peer));
            for link in dropped.collect::<Vec<LinkId>>() {
                self.look_within(link, HELLO_INTERVAL);
            }
        }
        (self.streams.at, self.more_to_dial) = (Some(now), false);
        // As many streams as a superpeer opens others open to it: who opened all would have twice as many.
        let age = now.since(self.surveys.joined).as_secs();
        let mut ours = None;
        let dialled = usize::try_from(age / WARM_DIAL_EVERY.as_secs()).unwrap_or(usize::MAX);
        let dialled = WARM_AT_ONCE.min(self.streams.warm / 2).saturating_add(dialled);
        let wanted = core::mem::take(&mut self.streams.wanted);
        for (place, peer) in wanted.iter().enumerate() {
            if self.links.to(peer).is_some() || self.requests.is_dialling(peer) {
                continue;
            }
            if place >= self.streams.near {
                let known = ours.get_or_insert_with(|| self.dialled_of(&wanted));
                if *known >= self.streams.near + dialled {
                    break;
                }
                *known += 1;
            }
            let stranger = !self.map.contact(peer).is_some_and(|contact| contact.verified());
            if self.requests.dials() >= UPKEEP_DIALS || (stranger && !self.may_dial_strangers()) {
                (self.more_to_dial, self.streams.at) = (true, None);
                break;
            }
            self.dial(*peer);
        }
        self.streams.wanted = wanted;
    }

    /// How many of them we have dialled, or dial now.
    fn dialled_of(&self, wanted: &[PeerId]) -> usize {
        let ours = |peer: &&PeerId| self.links.dialled(peer) == Some(true) || self.requests.is_dialling(peer);
        wanted.iter().filter(ours).count()
    }

    /// A child that counts on more superpeers than answer dials some that it has no link to: those that
    /// are gone leave the map.
    pub(super) fn try_superpeers(&mut self) {
        let unlinked = self.map.iter().map(Contact::peer);
        let mut unlinked: Vec<PeerId> = unlinked.filter(|peer| self.links.to(peer).is_none()).collect();
        for _ in 0..DOUBTED_DIALS {
            if unlinked.is_empty() {
                return;
            }
            let index = self.pick(unlinked.len());
            let peer = unlinked.swap_remove(index);
            self.dial(peer);
        }
    }

    /// Every now and then one of those that are gone, so that two halves of a partition meet again, and
    /// one of those that we have no stream to, so that it is known to be there.
    fn redial_gone(&mut self) {
        let now = self.now.instant;
        let stretch = u32::try_from(self.map.len() / REDIAL_SUPERPEERS).unwrap_or(u32::MAX);
        if now.since(self.redialled) < REDIAL_INTERVAL * stretch.clamp(1, REDIAL_STRETCH_MAX) {
            return;
        }
        self.redialled = now;
        let gone: Vec<PeerId> = self.map.buried(now).collect();
        if !gone.is_empty() && self.may_dial_strangers() {
            let index = self.pick(gone.len());
            // Sometimes over QUIC, too: TCP may be what doesn't get there.
            if self.pick(REDIAL_QUIC_EACH) == 0 {
                self.dial(gone[index]);
            } else {
                self.dial_gone(gone[index]);
            }
        }
        // A dial that succeeds costs a connection.
        if now.since(self.probed) < PROBE_EVERY {
            return;
        }
        self.probed = now;
        let begin = self.pick(self.map.len());
        let unseen = |contact: &&Contact| {
            let peer = contact.peer();
            let seen = contact.dialled().is_some_and(|at| now.since(at) < PROBE_INTERVAL);
            !seen && peer != self.me && self.links.to(&peer).is_none()
        };
        let unseen = self.map.iter_from(begin).find(unseen).map(Contact::peer);
        if let Some(peer) = unseen
            && self.may_dial_strangers()
        {
            self.dial(peer);
        }
    }

    /// Whom we want a stream to: the closest, then of each bucket, far to near, its share of the warm
    /// ones but at least k, so that they spread over the key space; places that are left go to anybody.
    ///
    /// Within a bucket those come first that have been chosen before, then who is linked, then by the
    /// last bits of the distance, which differ from peer to peer, so that not all choose the same.
    fn wanted(&self, own: &Key) -> Vec<PeerId> {
        let (k, all) = (self.network.parameters.k, self.map.len());
        let near = self.map.closest(own, self.streams.near + 1).into_iter().map(Contact::peer);
        let mut wanted: Vec<PeerId> = near.filter(|peer| *peer != self.me).collect();
        let mut chosen: BTreeSet<PeerId> = wanted.iter().copied().collect();
        let (mut caps, mut inbound) = (Caps::new(self.network.scope), 0);
        let inbound_max = self.streams.warm - OUTBOUND_SLOTS.min(self.streams.warm / 2);
        let linked = self.linked_ranks();
        let mut buckets: Vec<(usize, Vec<Ranked<'_>>)> = Vec::new();
        for (_, contacts) in self.map.buckets(own) {
            let share = (contacts.len() * self.streams.warm / all.max(1)).max(k);
            let rank = |contact: &Contact| {
                let found = linked.binary_search_by(|(place, _)| contact.cmp_place(place).reverse());
                found.map_or((true, true), |index| linked[index].1)
            };
            let mut ranked: Vec<_> =
                contacts.iter().map(|contact| (rank(contact), spread(own, &contact.id()), contact)).collect();
            // What comes after a bucket's share is put in order when it is needed: in large networks never.
            if share < ranked.len() {
                ranked.select_nth_unstable_by_key(share, order);
            }
            let first = share.min(ranked.len());
            ranked[..first].sort_unstable_by_key(order);
            buckets.push((share, ranked));
        }
        for whole in [false, true] {
            for (share, ranked) in &mut buckets {
                if chosen.len() >= self.streams.near + self.streams.warm {
                    break;
                }
                if whole && *share < ranked.len() {
                    ranked[*share..].sort_unstable_by_key(order);
                }
                let share = if whole { usize::MAX } else { *share };
                for (rank, _, contact) in ranked.iter().take(share) {
                    let theirs = !rank.1;
                    let full = chosen.len() >= self.streams.near + self.streams.warm
                        || (theirs && inbound >= inbound_max);
                    if full || chosen.contains(&contact.peer()) || !caps.admit(&contact.hint().addresses) {
                        continue;
                    }
                    inbound += usize::from(theirs);
                    chosen.insert(contact.peer());
                    wanted.push(contact.peer());
                }
            }
        }
        wanted
    }

    /// The ranks of those that have a link, sorted by their places; all others have the last one.
    fn linked_ranks(&self) -> Vec<(Key, (bool, bool))> {
        let linked = self.links.peers().filter_map(|(peer, link)| {
            let inbound = !self.links.get(*link)?.dialled;
            let kept = self.streams.chosen.contains(peer);
            Some((*self.map.place(peer)?, (!kept, !inbound)))
        });
        let mut linked: Vec<_> = linked.collect();
        linked.sort_unstable();
        linked
    }

    /// One that we thought gone is there again: it may know others that we lost, has to be known to our
    /// neighbours, and either of us may hold what the other one has missed. `reach`: what was left to us
    /// without it.
    pub(super) fn met_again(&mut self, peer: PeerId, reach: Reach) {
        let Some(place) = self.map.contact(&peer).map(|contact| contact.id()) else { return };
        if !self.is_superpeer() {
            return;
        }
        self.gossip.acquit(&peer);
        // Who has just started knows of nobody whom we lost.
        if !self.links.is_anew(&peer, self.now.instant) {
            self.survey_again(peer, reach);
            self.refresh_soon();
        }
        if reach < Reach::Most {
            // We were on our own: what they hold may be newer.
            self.hand_over_again();
        }
        self.place_changed(peer, place);
        if !self.is_restless(&peer) {
            self.compare_with(peer);
        }
    }

    /// Upkeep leaves half of the dials to what somebody waits for.
    pub(super) fn may_dial_strangers(&mut self) -> bool {
        self.may_dial_stranger() && self.strangers.has(UNVERIFIED_DIALS_BURST / 2, self.now.instant)
    }

    /// As [`Self::refresh`], when others that come or are back with one may be known, too.
    pub(super) fn refresh_soon(&mut self) {
        self.surveys.sought = None;
        let soon = self.now.instant + REFRESH_SOON;
        if self.timers.iter().any(|(at, timer)| *timer == Timer::Refresh && *at <= soon) {
            return;
        }
        self.timers.retain(|(_, timer)| *timer != Timer::Refresh);
        self.set_timer(REFRESH_SOON, Timer::Refresh);
    }

    /// Looks ourselves up: the closest to us are our neighbours. And asks somebody for whoever we lack.
    pub(super) fn refresh(&mut self) {
        self.surveys.sought = None;
        self.refresh_due();
    }

    /// As [`Self::refresh`]; the longer we have been there the more seldom, for who comes near tells us so.
    pub(super) fn refresh_due(&mut self) {
        let Some(own) = self.map.contact(&self.me).map(|contact| contact.id()) else { return };
        let now = self.now.instant;
        let wait = self.jittered(REFRESH_INTERVAL);
        self.timers.retain(|(_, timer)| *timer != Timer::Refresh);
        self.set_timer(wait, Timer::Refresh);
        let age = now.since(self.surveys.joined);
        // Who takes its range over, or has lost many, has to know who is there.
        let quiet = !self.is_syncing() && !self.takes_over() && self.map.reach(now) == Reach::Most;
        let longest = if quiet { SEEK_INTERVAL_MAX } else { REFRESH_INTERVAL / 2 };
        let pause = (age / SEEK_STRETCH).clamp(REFRESH_INTERVAL / 2, longest);
        if self.surveys.sought.is_none_or(|at| now.since(at) >= pause) {
            self.surveys.sought = Some(now);
            self.neighbours_sought();
            self.start_walk(own, Goal::Nodes, Owner::Refresh);
            self.survey_some();
        }
        self.compare_with_neighbour();
        self.publish_wider();
    }

    /// Drops what has expired: records, bundles, certificates.
    pub(super) fn sweep(&mut self) {
        self.set_timer(SWEEP_INTERVAL, Timer::Sweep);
        self.give_room_back();
        self.cache.sweep(self.now.instant);
        self.sweep_watchers();
        self.judge_skew();
        if self.skewed {
            // By our clock everything may have expired, or nothing: wait until it is right.
            return;
        }
        let expired = self.store.sweep(self.now.unix);
        self.counters.records_expired += expired.len() as u64;
        for slot in &expired {
            self.key_changed(&slot.key);
        }
        self.persist(expired.into_iter().map(Write::Forget).collect(), false);
        if self.links.peers().next().is_some() {
            // Else nobody tells us whether our clock is right.
            self.resolving.newest.sweep(self.now.unix);
        }
        let now = self.now.unix;
        let over = |certificate: &NodeCertificate| certificate.not_after < now;
        for peer in self.map.expired(now) {
            if peer != self.me {
                self.superpeer_gone(&peer, Cause::Left);
            }
        }
        self.forget_contacts();
        if let Role::Superpeer(certificate) = &self.role
            && over(certificate)
        {
            self.notice(Notice::CertificateExpired);
            self.act(Role::Child);
        }
    }

    /// What is empty most of the time takes no room meanwhile.
    fn give_room_back(&mut self) {
        self.walks.give_back();
        self.puts.give_back();
        self.requests.give_room_back();
        self.attaching.give_room_back();
        self.standbys.give_room_back();
        self.resolving.give_room_back();
        self.publishing.give_room_back();
    }

    /// Out of the host cache go those that have been gone for a day, or whose certificate has expired;
    /// without a neighbour nobody tells us whether our clock is right.
    fn forget_contacts(&mut self) {
        self.map.forget_gone(self.now.instant);
        // Who is in the map, or gone from it, stays: so none of them goes unless somebody has gone out of both.
        let looked = self.contacts.looked_at(self.map.forgotten);
        if looked || self.links.peers().next().is_none() {
            return;
        }
        self.contacts.looked = Some(self.map.forgotten);
        let kept = self.contacts_kept.iter();
        let over = kept.filter(|peer| {
            self.map.contact(peer).is_none() && !self.map.is_gone(peer) && !self.map.remembers(peer)
        });
        let over: Vec<PeerId> = over.copied().collect();
        for peer in &over {
            self.contacts_kept.remove(peer);
            self.contacts.forget(peer);
        }
        self.persist(over.into_iter().map(Write::ForgetContact).collect(), false);
    }
}

/// Whether it is neither chosen already nor linked by its own will, the last bits of its distance, who.
type Ranked<'a> = ((bool, bool), u64, &'a Contact);

/// In which order those of a bucket are chosen.
fn order(ranked: &Ranked<'_>) -> ((bool, bool), u64, Key) {
    let (rank, spread, contact) = ranked;
    (*rank, *spread, contact.id())
}

/// The last bits of the distance.
fn spread(own: &Key, id: &Key) -> u64 {
    let xor = own.as_bytes().iter().zip(id.as_bytes()).skip(24).map(|(own, id)| own ^ id);
    xor.fold(0, |bits, byte| (bits << 8) | u64::from(byte))
}
