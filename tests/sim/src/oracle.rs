//! The oracle: it knows what was acknowledged, and judges every answer.
//!
//! A name's address is counted up; what a holder had acknowledged before somebody asked is the least that a
//! right answer tells. Names are sorted into
//! - *right*: the address that was acknowledged last before the question, or a later one; *absent* for a
//!   name that nobody had acknowledged by then;
//! - *old*: an earlier address that somebody may still have in a cache, by its ttl (DESIGN §3);
//! - *stale*: an earlier address that nobody may tell any more;
//! - *wrong*: absent though it was acknowledged, a device for a name that nobody holds, or one that its
//!   holder never made;
//! - *unknown*: no answer in time, which is never shown as an absence.
//!
//! *Not here*: who stores what (`world` looks at disks when an answer is wrong).

use callbook_overlay::api::{Device, Reply};
use callbook_overlay::key::PeerId;
use callbook_overlay::limits::{CLOCK_TOLERANCE, TTL_DEFAULT};

use crate::peers::read_multiaddr;
use crate::time::{Micros, SECOND};

/// Whose name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// That of a peer.
    Of(u32),
    /// One that nobody holds.
    Nobody(u64),
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Right,
    /// An earlier address that a cache may still keep.
    Old,
    /// An earlier address, past its time.
    Stale,
    /// Not true.
    Wrong(Wrong),
    /// No answer.
    Unknown,
}

/// In what way an answer is not true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// A name that was acknowledged is called absent.
    CalledAbsent,
    /// A device under a name that nobody holds.
    Invented,
    /// A device that its holder did not make.
    Forged,
}

/// How long after an acknowledgement caches may tell what was before: the ttl of all records here, and a
/// little for a bundle that was on its way.
const MAY_BE_OLD: Micros = TTL_DEFAULT.as_micros() as u64 + 5 * SECOND;

/// A record that ends within this need not be found. *Specification* (DESIGN §4: clocks may differ by so much).
const ENDS_SOON: Micros = CLOCK_TOLERANCE.as_micros() as u64;

/// What is known of one name.
#[derive(Debug, Clone, Copy, Default)]
struct Name {
    /// The newest address that was acknowledged; 0 for none.
    acknowledged: u32,
    since: Micros,
    /// When anything was acknowledged last.
    last: Micros,
    /// When the record ends that was acknowledged last.
    ends: Micros,
}

/// What is right from the moment of a question on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    /// The newest address that was acknowledged; 0 for a name that may be absent.
    pub(crate) version: u32,
    /// It was acknowledged so lately that a cache may not have it.
    pub(crate) fresh: bool,
}

/// What has been promised.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    names: Vec<Name>,
    /// Names that were acknowledged at least once.
    pub(crate) registered: u32,
}

impl Oracle {
    /// One more peer, whose name nobody has registered yet.
    pub(crate) fn expect(&mut self) {
        self.names.push(Name::default());
    }

    /// A majority holds this address of a name, in a record that ends then.
    pub(crate) fn acknowledged(&mut self, name: u32, version: u32, now: Micros, ends: Micros) {
        let known = &mut self.names[name as usize];
        self.registered += u32::from(known.acknowledged == 0);
        if known.acknowledged < version {
            (known.acknowledged, known.since) = (version, now);
        }
        (known.last, known.ends) = (now, known.ends.max(ends));
    }

    /// The least that is right from now on.
    pub(crate) fn floor(&self, wanted: Wanted, now: Micros) -> Floor {
        match wanted {
            Wanted::Of(name) => {
                let known = self.names[name as usize];
                let version = if self.knows(name, now) { known.acknowledged } else { 0 };
                Floor { version, fresh: known.since > 0 && known.since + MAY_BE_OLD > now }
            }
            Wanted::Nobody(_) => Floor { version: 0, fresh: false },
        }
    }

    /// Whether a name has to be found: it was acknowledged, and its record does not end so soon that a clock may
    /// call it over.
    pub(crate) fn knows(&self, name: u32, now: Micros) -> bool {
        let known = self.names[name as usize];
        known.acknowledged > 0 && now + ENDS_SOON < known.ends
    }

    /// When anything of a name was acknowledged last.
    pub(crate) fn last(&self, name: u32) -> Micros {
        self.names[name as usize].last
    }

    /// The newest address of it that was acknowledged; 0 for none.
    pub(crate) fn acknowledged_version(&self, name: u32) -> u32 {
        self.names[name as usize].acknowledged
    }

    /// Since when its newest address is acknowledged.
    pub(crate) fn since(&self, name: u32) -> Micros {
        self.names[name as usize].since
    }

    /// Judges an answer to who asked when [`Self::floor`] was `floor`; `holder` is the name's.
    pub(crate) fn judge(wanted: Wanted, floor: Floor, holder: Option<PeerId>, reply: &Reply) -> Verdict {
        let Reply::Resolved(found) = reply else { return Verdict::Unknown };
        match (wanted, &found.devices[..]) {
            (_, []) if floor.version == 0 => Verdict::Right,
            (_, []) => Verdict::Wrong(Wrong::CalledAbsent),
            (Wanted::Nobody(_), _) => Verdict::Wrong(Wrong::Invented),
            (Wanted::Of(name), devices) => {
                let told = devices.iter().map(|device| {
                    Self::version(device, name).filter(|_| holder == Some(device.payload.peer))
                });
                match told.min().flatten() {
                    None => Verdict::Wrong(Wrong::Forged),
                    Some(version) if version < floor.version && floor.fresh => Verdict::Old,
                    Some(version) if version < floor.version => Verdict::Stale,
                    Some(_) => Verdict::Right,
                }
            }
        }
    }

    /// Which of its addresses a device tells; nothing if it is another name's.
    pub(crate) fn version(device: &Device, name: u32) -> Option<u32> {
        let (number, version) = read_multiaddr(device.payload.addresses.first()?)?;
        (number == name).then_some(version)
    }
}

#[cfg(test)]
mod tests {
    use callbook_overlay::api::{Device, Failure, Reply, Resolution, Source};
    use callbook_overlay::key::{PeerId, PublicKey};
    use callbook_overlay::record::DevicePayload;
    use callbook_overlay::time::Unix;

    use super::{Oracle, Verdict, Wanted, Wrong};
    use crate::peers::multiaddr;
    use crate::time::SECOND;

    const HOLDER: PeerId = PeerId::from_bytes([4; 32]);

    fn found(devices: Vec<Device>) -> Reply {
        let trace = Vec::new();
        Reply::Resolved(Resolution {
            devices,
            hops: 1,
            source: Source::Overlay,
            denials: 0,
            trace,
            partial: None,
        })
    }

    fn device(peer: PeerId, number: u32, version: u32) -> Device {
        let payload = DevicePayload {
            peer,
            parent: None,
            addresses: vec![multiaddr(number, version)],
            entries: Vec::new(),
            display: String::new(),
        };
        let key = PublicKey::from_bytes([1; 32]);
        Device { key, payload, seq: 1, not_before: Unix::default(), not_after: Unix::default() }
    }

    #[test]
    fn every_kind_of_answer_is_judged() {
        // Goal: the oracle is not fooled. Method: each verdict, before and after an acknowledgement.
        let mut oracle = Oracle::default();
        (0..8).for_each(|_| oracle.expect());
        let wanted = Wanted::Of(7);
        let judge = |floor, reply: &Reply| Oracle::judge(wanted, floor, Some(HOLDER), reply);
        assert_eq!(judge(oracle.floor(wanted, 10), &found(Vec::new())), Verdict::Right);
        let ends = 3_600 * SECOND;
        oracle.acknowledged(7, 2, 50, ends);
        oracle.acknowledged(7, 1, 60, ends);
        let fresh = oracle.floor(wanted, 100);
        assert_eq!(judge(fresh, &found(vec![device(HOLDER, 7, 1)])), Verdict::Old);
        let floor = oracle.floor(wanted, 100 * SECOND);
        assert_eq!((floor.version, oracle.since(7), oracle.registered), (2, 50, 1));
        assert_eq!(judge(floor, &found(Vec::new())), Verdict::Wrong(Wrong::CalledAbsent));
        assert_eq!(judge(floor, &found(vec![device(HOLDER, 7, 2)])), Verdict::Right);
        assert_eq!(judge(floor, &found(vec![device(HOLDER, 7, 3)])), Verdict::Right);
        assert_eq!(judge(floor, &found(vec![device(HOLDER, 7, 1)])), Verdict::Stale);
        // Over, or nearly: both are right.
        let over = oracle.floor(wanted, ends - SECOND);
        for reply in [found(Vec::new()), found(vec![device(HOLDER, 7, 2)])] {
            assert_eq!(judge(over, &reply), Verdict::Right);
        }
        let other = PeerId::from_bytes([5; 32]);
        for forged in [device(other, 7, 2), device(HOLDER, 6, 2)] {
            assert_eq!(judge(floor, &found(vec![forged])), Verdict::Wrong(Wrong::Forged));
        }
        assert_eq!(judge(floor, &Reply::Failed(Failure::Detached)), Verdict::Unknown);
        let invented = found(vec![device(HOLDER, 7, 2)]);
        assert_eq!(
            Oracle::judge(Wanted::Nobody(1), oracle.floor(Wanted::Nobody(1), 0), None, &invented),
            Verdict::Wrong(Wrong::Invented)
        );
    }
}
