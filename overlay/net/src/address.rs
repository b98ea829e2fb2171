//! The core's names for peers and addresses, and libp2p's.
//!
//! A [`PeerId`] of the core is the bare Ed25519 node key; libp2p's is the identity multihash of that
//! key in protobuf. An [`Address`] of the core implies both transports; a multiaddr names one.

use std::net::IpAddr;

use callbook_overlay::api::{Address, Transport};
use callbook_overlay::key::PeerId;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Identity multihash (code 0, 36 bytes) of a protobuf with key type Ed25519 and 32 bytes of key.
const PREFIX: [u8; 6] = [0x00, 36, 0x08, 0x01, 0x12, 0x20];

/// libp2p's name of a peer.
#[must_use]
pub fn transport_peer(peer: &PeerId) -> libp2p::PeerId {
    let mut bytes = [0; PREFIX.len() + 32];
    bytes[..PREFIX.len()].copy_from_slice(&PREFIX);
    bytes[PREFIX.len()..].copy_from_slice(peer.as_bytes());
    libp2p::PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is a PeerId")
}

/// The core's name of a peer.
///
/// # Shape
/// `None` when the peer's key is not Ed25519.
#[must_use]
pub fn overlay_peer(peer: &libp2p::PeerId) -> Option<PeerId> {
    let bytes = peer.to_bytes();
    let key = bytes.strip_prefix(&PREFIX)?;
    Some(PeerId::from_bytes(key.try_into().ok()?))
}

/// The multiaddr of an address for one transport, without the peer.
#[must_use]
pub fn multiaddr(address: &Address, transport: Transport) -> Multiaddr {
    let ip = match address.ip {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    };
    let base = Multiaddr::empty().with(ip);
    match transport {
        Transport::Tcp => base.with(Protocol::Tcp(address.port)),
        Transport::Quic => base.with(Protocol::Udp(address.port)).with(Protocol::QuicV1),
    }
}

/// Address and transport that a multiaddr names.
///
/// # Shape
/// `/ip4|ip6/…/tcp/…` or `/ip4|ip6/…/udp/…/quic-v1`, with or without `/p2p/…` behind it; `None` for
/// anything else.
#[must_use]
pub fn address_of(multiaddr: &Multiaddr) -> Option<(Address, Transport)> {
    let parts: Vec<Protocol<'_>> =
        multiaddr.iter().filter(|part| !matches!(part, Protocol::P2p(_))).take(4).collect();
    let (ip, port, transport) = match parts.as_slice() {
        [ip, Protocol::Tcp(port)] => (ip, port, Transport::Tcp),
        [ip, Protocol::Udp(port), Protocol::QuicV1] => (ip, port, Transport::Quic),
        _ => return None,
    };
    let ip = if let Protocol::Ip4(ip) = ip {
        IpAddr::V4(*ip)
    } else if let Protocol::Ip6(ip) = ip {
        IpAddr::V6(*ip)
    } else {
        return None;
    };
    Some((Address { ip, port: *port }, transport))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_survives_both_ways() {
        // Goal: the core's and libp2p's names of a key are the same peer. Method: a libp2p key pair
        // gives both names, each is turned into the other.
        let keypair = libp2p::identity::Keypair::ed25519_from_bytes([7; 32]).unwrap();
        let key = keypair.public().try_into_ed25519().unwrap().to_bytes();
        let peer = PeerId::from_bytes(key);
        assert_eq!(transport_peer(&peer), keypair.public().to_peer_id());
        assert_eq!(overlay_peer(&keypair.public().to_peer_id()), Some(peer));
    }

    #[test]
    fn an_address_survives_both_ways_and_others_are_refused() {
        // Goal: every address has one multiaddr per transport, and only those are read. Method: both
        // families and transports there and back; then forms that are no address of the core.
        for ip in ["192.0.2.7", "2001:db8::7"] {
            let address = Address { ip: ip.parse().unwrap(), port: 4_001 };
            for transport in [Transport::Tcp, Transport::Quic] {
                let there = multiaddr(&address, transport);
                assert_eq!(address_of(&there), Some((address, transport)), "{there}");
                let peer = transport_peer(&PeerId::from_bytes([9; 32]));
                assert_eq!(address_of(&there.with(Protocol::P2p(peer))), Some((address, transport)));
            }
        }
        for other in
            ["/dns4/example.org/tcp/1", "/ip4/192.0.2.7/udp/1", "/ip4/192.0.2.7/tcp/1/ws", "/ip4/192.0.2.7"]
        {
            assert_eq!(address_of(&other.parse().unwrap()), None, "{other}");
        }
    }
}
