//! Join hints: a superpeer's certificate and where it listens.
//!
//! A hint is believed for its signature alone (it enters the map without a dial), so it must fit
//! wherever superpeers are named: in answers, in seeds, in the host cache.

use alloc::vec::Vec;
use core::net::IpAddr;

use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use super::{WireError, infallible};
use crate::api::Address;
use crate::certificate::NodeCertificate;
use crate::key::{Key, PeerId};
use crate::limits::{HINT_ADDRESSES_MAX, HINT_BYTES_MAX};

/// A superpeer as it is told from peer to peer.
///
/// # Shape
/// On the wire `[certificate, [address…]]`; an address is 4 or 16 bytes of IP and 2 of port. At most
/// [`HINT_ADDRESSES_MAX`] addresses and [`HINT_BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Who it is and where in the key space.
    pub certificate: NodeCertificate,
    /// Where it listens: v4, v6 or both.
    pub addresses: Vec<Address>,
}

/// A superpeer's hint, and the place that its certificate gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Where in the key space.
    pub id: Key,
    /// What is told of it.
    pub hint: Hint,
}

impl Hint {
    /// Whose hint it is.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.certificate.node
    }

    /// The hint as it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HINT_BYTES_MAX);
        infallible(Encoder::new(&mut bytes).encode(self));
        // Kept for long in host caches: without the room that was left.
        bytes.into_boxed_slice().into()
    }

    /// Tells this hint from an older one of the same superpeer, for who knows from whom it is: nothing rests on it.
    #[must_use]
    pub fn mark(&self) -> u32 {
        let [a, b, c, d, ..] = *blake3::hash(&self.to_bytes()).as_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Reads a hint; its signature is not checked here.
    ///
    /// # Errors
    /// The peer's fault: not a hint, or something follows it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut decoder = Decoder::new(bytes);
        let hint = decoder.decode()?;
        if decoder.position() == bytes.len() { Ok(hint) } else { Err(WireError::Trailing) }
    }
}

impl<C> Encode<C> for Hint {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.bytes(self.certificate.bytes())?;
        e.array(self.addresses.len().min(HINT_ADDRESSES_MAX) as u64)?;
        for address in self.addresses.iter().take(HINT_ADDRESSES_MAX) {
            let mut bytes = Vec::with_capacity(18);
            match address.ip {
                IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
                IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
            }
            bytes.extend_from_slice(&address.port.to_be_bytes());
            e.bytes(&bytes)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Hint {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let start = d.position();
        if d.array()? != Some(2) {
            return Err(decode::Error::message("a hint is [certificate, addresses]"));
        }
        let certificate = NodeCertificate::parse(&Bytes::copy_from_slice(d.bytes()?))
            .map_err(|_| decode::Error::message("a hint holds a node certificate"))?;
        let count = d.array()?.filter(|count| *count <= HINT_ADDRESSES_MAX as u64);
        let count = count.ok_or_else(|| decode::Error::message("a hint holds at most two addresses"))?;
        let addresses = (0..count).map(|_| read_address(d.bytes()?)).collect::<Result<_, _>>()?;
        if d.position() - start > HINT_BYTES_MAX {
            return Err(decode::Error::message("a hint is at most 192 bytes"));
        }
        Ok(Self { certificate, addresses })
    }
}

fn read_address(bytes: &[u8]) -> Result<Address, decode::Error> {
    let wrong = || decode::Error::message("an address is 6 or 18 bytes");
    let (ip, port) = bytes.split_last_chunk::<2>().ok_or_else(wrong)?;
    let ip = match ip.len() {
        4 => <[u8; 4]>::try_from(ip).map(IpAddr::from),
        _ => <[u8; 16]>::try_from(ip).map(IpAddr::from),
    };
    Ok(Address { ip: ip.map_err(|_| wrong())?, port: u16::from_be_bytes(*port) })
}
