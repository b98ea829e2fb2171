//! Where to dial a superpeer, one address after another, and what it means if none of them leads to it.
//!
//! First where it said itself that it is, then where others say so. Each is a dial of its own: somebody else at one
//! address says nothing of the next. What becomes of the whole is what the first dial showed, so that nobody can
//! make a superpeer look replaced by telling of it elsewhere.
//!
//! *Not here*: which addresses are known (`walk`), dialling (`crawl`).

use std::collections::VecDeque;

use libp2p::Multiaddr;

use super::walk::Failure;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Attempts {
    left: VecDeque<Multiaddr>,
    now: Option<Multiaddr>,
    shown: Option<Failure>,
}

impl Attempts {
    /// Attempts at these, in their order.
    pub(super) fn at(addresses: Vec<Multiaddr>) -> Self {
        Self { left: addresses.into(), now: None, shown: None }
    }

    /// The next address to dial.
    pub(super) fn next(&mut self) -> Option<Multiaddr> {
        self.now = self.left.pop_front();
        self.now.clone()
    }

    /// The dial came to nothing.
    pub(super) fn failed(&mut self, why: Failure) {
        self.shown.get_or_insert(why);
        let socket = |address: &Multiaddr| callbook_net::address_of(address).map(|(socket, _)| socket);
        // Over TCP a host says at once that nobody is there; over QUIC it would only be silent.
        if why == Failure::Refused
            && let Some(refused) = self.now.as_ref().and_then(socket)
        {
            self.left.retain(|address| socket(address) != Some(refused));
        }
    }

    /// What they showed, all in all.
    pub(super) fn shown(&self) -> Failure {
        self.shown.unwrap_or(Failure::NoAddress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of attempts at these, each failing like this; and how many dials that takes.
    fn outcome(all: &[(&str, Failure)]) -> (usize, Failure) {
        let addresses = all.iter().map(|(address, _)| address.parse().unwrap()).collect();
        let (mut attempts, mut dials) = (Attempts::at(addresses), 0);
        while let Some(address) = attempts.next() {
            dials += 1;
            let why = all.iter().find(|(text, _)| *text == address.to_string()).unwrap().1;
            attempts.failed(why);
        }
        (dials, attempts.shown())
    }

    #[test]
    fn what_others_tell_makes_nobody_replaced_and_hides_no_address() {
        // Goal: a liar's address ends no session. Method: a superpeer's own two addresses fail as each of them can,
        // with somebody else where others say that it is, and a last address behind that.
        let (tcp, quic) = ("/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.1/udp/1/quic-v1");
        let (lie, more) =
            (("/ip4/10.0.0.2/tcp/1", Failure::Replaced), ("/ip4/10.0.0.3/tcp/1", Failure::Silent));
        let silent = outcome(&[(tcp, Failure::Silent), (quic, Failure::Silent), lie, more]);
        assert_eq!(silent, (4, Failure::Silent));
        let refused = outcome(&[(tcp, Failure::Refused), (quic, Failure::Silent), lie, more]);
        assert_eq!(refused, (3, Failure::Refused), "nobody listens there, over QUIC neither");
        let replaced = outcome(&[(tcp, Failure::Replaced), (quic, Failure::Silent), more]);
        assert_eq!(replaced, (3, Failure::Replaced));
        assert_eq!(outcome(&[]), (0, Failure::NoAddress));
        let names = [("/dns4/one/tcp/1", Failure::Refused), ("/dns4/two/tcp/1", Failure::Silent)];
        assert_eq!(outcome(&names), (2, Failure::Refused), "a name is no other name");
    }
}
