//! Address groups: addresses that one party is likely to own together.
//!
//! Whoever rents a network has as many addresses in it as it likes, so addresses of one group count as
//! few voices however many they are. A narrow group is what one customer gets (/24, /48), a wide one
//! what one provider announces (/16, /32). The [`Caps`] hold for whom we choose or hand on (contacts,
//! seeds, candidates, the paths of one look-up), never for the map; and only for global addresses on a
//! global network, since everything on a local one is in the same group.
//!
//! Source: security.md §1.2 (go-libp2p-kad-dht, discv5). *Not here*: autonomous systems.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

use crate::api::Address;
use crate::limits::{GROUP_NARROW_MAX, GROUP_WIDE_MAX};
use crate::network::Scope;

/// How much of an address names its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Width {
    /// /24 of version 4, /48 of version 6.
    Narrow,
    /// /16 of version 4, /32 of version 6.
    Wide,
}

/// An address group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    width: Width,
    /// The first address of the group.
    first: IpAddr,
}

impl Group {
    /// The group of an address; `None` if it is not global.
    pub(crate) fn of(address: &Address, width: Width) -> Option<Self> {
        let ip = address.ip.to_canonical();
        if !is_global(ip) {
            return None;
        }
        let first = match (ip, width) {
            (IpAddr::V4(ip), Width::Narrow) => IpAddr::V4((ip.to_bits() & (u32::MAX << 8)).into()),
            (IpAddr::V4(ip), Width::Wide) => IpAddr::V4((ip.to_bits() & (u32::MAX << 16)).into()),
            (IpAddr::V6(ip), Width::Narrow) => IpAddr::V6((ip.to_bits() & (u128::MAX << 80)).into()),
            (IpAddr::V6(ip), Width::Wide) => IpAddr::V6((ip.to_bits() & (u128::MAX << 96)).into()),
        };
        Some(Self { width, first })
    }
}

/// Whether an address can be reached from everywhere.
#[must_use]
pub fn is_global(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()),
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified())
        }
    }
}

/// Counts those who have been chosen, by group.
#[derive(Debug, Clone)]
pub(crate) struct Caps {
    scope: Scope,
    chosen: BTreeMap<Group, usize>,
}

impl Caps {
    /// Nobody has been chosen yet.
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope, chosen: BTreeMap::new() }
    }

    /// Counts a peer in, unless one of its groups is full. Who has no global address is in no group.
    pub(crate) fn admit(&mut self, addresses: &[Address]) -> bool {
        if self.scope == Scope::Local {
            return true;
        }
        let groups = || {
            let narrow = addresses.iter().filter_map(|address| Group::of(address, Width::Narrow));
            narrow.chain(addresses.iter().filter_map(|address| Group::of(address, Width::Wide)))
        };
        if groups().any(|group| self.chosen.get(&group).is_some_and(|count| *count >= cap(group.width))) {
            return false;
        }
        for group in groups() {
            *self.chosen.entry(group).or_default() += 1;
        }
        true
    }
}

const fn cap(width: Width) -> usize {
    match width {
        Width::Narrow => GROUP_NARROW_MAX,
        Width::Wide => GROUP_WIDE_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::{Caps, Group, Width};
    use crate::api::Address;
    use crate::network::Scope;

    fn at(ip: &str) -> Address {
        Address { ip: ip.parse().expect("an address"), port: 1 }
    }

    #[test]
    fn groups_are_by_prefix_and_only_of_global_addresses() {
        // Pairs inside and across the borders of each prefix; a mapped address is its version 4 one.
        let same = |a, b, width| Group::of(&at(a), width) == Group::of(&at(b), width);
        assert!(same("203.0.113.1", "203.0.113.255", Width::Narrow));
        assert!(!same("203.0.113.1", "203.0.114.1", Width::Narrow));
        assert!(same("203.0.113.1", "203.0.114.1", Width::Wide));
        assert!(!same("203.0.113.1", "203.1.113.1", Width::Wide));
        assert!(same("2001:db8:1::1", "2001:db8:1:ffff::1", Width::Narrow));
        assert!(!same("2001:db8:1::1", "2001:db8:2::1", Width::Narrow));
        assert!(same("2001:db8:1::1", "2001:db8:2::1", Width::Wide));
        assert!(!same("2001:db8::1", "2001:db9::1", Width::Wide));
        assert!(same("::ffff:203.0.113.1", "203.0.113.2", Width::Narrow));
        for ip in
            ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.0.1", "::1", "fe80::1", "fd00::1", "0.0.0.0"]
        {
            assert_eq!(Group::of(&at(ip), Width::Wide), None, "{ip}");
        }
    }

    #[test]
    fn two_of_a_narrow_and_four_of_a_wide_group_are_admitted_on_a_global_network() {
        // Count who gets in; the same on a local network, where there are no caps.
        let ips = ["203.0.1.1", "203.0.1.2", "203.0.1.3", "203.0.2.1", "203.0.2.2", "203.0.3.1", "203.1.1.1"];
        let admitted = |scope| {
            let mut caps = Caps::new(scope);
            ips.map(|ip| caps.admit(&[at(ip)]))
        };
        assert_eq!(admitted(Scope::Global), [true, true, false, true, true, false, true]);
        assert_eq!(admitted(Scope::Local), [true; 7]);
        // Both addresses of a peer must fit, and a peer that is refused takes no place.
        let mut caps = Caps::new(Scope::Global);
        assert!(caps.admit(&[at("203.0.1.1")]) && caps.admit(&[at("203.0.1.2")]));
        assert!(!caps.admit(&[at("203.0.1.3"), at("2001:db8::1")]));
        assert!(caps.admit(&[at("2001:db8::1")]) && caps.admit(&[at("2001:db8::2")]));
        assert!(!caps.admit(&[at("2001:db8::3")]));
    }
}
