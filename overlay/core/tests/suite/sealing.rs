//! Sealed payloads: readable with the name, and with nothing else.

use bytes::Bytes;
use callbook_overlay::key::{NetworkId, PeerId, PublicKey};
use callbook_overlay::network::Network;
use callbook_overlay::record::seal::{SEAL_BYTES, open, seal};
use callbook_overlay::record::{DevicePayload, Entry, EntryKind, EpochPayload};
use callbook_overlay::{Invalid, Username};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::fixture::{World, typical_payload};

const DEVICE: PublicKey = PublicKey::from_bytes([9; 32]);

proptest! {
    /// Goal: who knows the name reads the text; sealing needs no entropy. Method: there and back, twice.
    #[test]
    fn a_text_opens_with_its_name(plain in vec(any::<u8>(), 0..600), secret in any::<Option<[u8; 32]>>()) {
        let username = &World::shared().username;
        let network = Network { secret, ..World::shared().network.clone() };
        let sealed = seal(&network, username, &DEVICE, &plain);
        prop_assert_eq!(sealed.len(), plain.len() + SEAL_BYTES);
        prop_assert_eq!(&sealed, &seal(&network, username, &DEVICE, &plain));
        prop_assert_eq!(open(&network, username, &DEVICE, &sealed), Ok(plain));
    }

    /// Goal: nobody changes a sealed text. Method: flip any one bit, cut it anywhere.
    #[test]
    fn a_changed_text_does_not_open(plain in vec(any::<u8>(), 0..100), place: prop::sample::Index) {
        let world = World::shared();
        let sealed = seal(&world.network, &world.username, &DEVICE, &plain);
        let mut changed = sealed.clone();
        let bit = place.index(sealed.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(open(&world.network, &world.username, &DEVICE, &changed), Err(Invalid::Sealed));
        let cut = &sealed[..bit / 8];
        prop_assert_eq!(open(&world.network, &world.username, &DEVICE, cut), Err(Invalid::Sealed));
    }

    /// Goal: two texts never share a nonce. Method: seal different texts, compare the nonces.
    #[test]
    fn different_texts_get_different_nonces(a in vec(any::<u8>(), 0..50), b in vec(any::<u8>(), 0..50)) {
        prop_assume!(a != b);
        let world = World::shared();
        let nonce = |plain: &[u8]| seal(&world.network, &world.username, &DEVICE, plain)[..24].to_vec();
        prop_assert_ne!(nonce(&a), nonce(&b));
    }

    /// Goal: a payload says after decoding what was encoded. Method: random payloads within the bounds.
    #[test]
    fn a_payload_reads_back(payload in payloads()) {
        let bytes = payload.encode().expect("within the bounds");
        prop_assert_eq!(DevicePayload::decode(&bytes), Ok(payload));
    }

    /// Goal: as above for what an epoch says. Method: random serials, encoded in ascending order.
    #[test]
    fn an_epoch_payload_reads_back(minimum: u32, mut revoked in vec(any::<u64>(), 0..=64)) {
        let bytes = EpochPayload { minimum, revoked: revoked.clone() }.encode().expect("within the bounds");
        revoked.sort_unstable();
        revoked.dedup();
        prop_assert_eq!(EpochPayload::decode(&bytes), Ok(EpochPayload { minimum, revoked }));
    }
}

/// Goal: every part of the associated data and of the key counts. Method: open with each changed.
#[test]
fn a_text_opens_with_nothing_but_its_name_device_and_network() {
    let world = World::new();
    let sealed = seal(&world.network, &world.username, &DEVICE, b"text");
    let other = Username::parse("alicf").expect("a username");
    let elsewhere = World::with_id(NetworkId::from_bytes([2; 32]));
    let mut private = World::new();
    private.network.secret = Some([0; 32]);
    assert_eq!(open(&world.network, &other, &DEVICE, &sealed), Err(Invalid::Sealed));
    let device = PublicKey::from_bytes([8; 32]);
    assert_eq!(open(&world.network, &world.username, &device, &sealed), Err(Invalid::Sealed));
    assert_eq!(open(&elsewhere.network, &world.username, &DEVICE, &sealed), Err(Invalid::Sealed));
    assert_eq!(open(&private.network, &world.username, &DEVICE, &sealed), Err(Invalid::Sealed));
    assert_eq!(open(&world.network, &world.username, &DEVICE, &sealed).as_deref(), Ok(&b"text"[..]));
}

/// Goal: a payload beyond a bound is neither written nor read. Method: break one bound at a time.
#[test]
fn a_payload_beyond_a_bound_is_refused() {
    let txt = |text: &str| Entry { service: None, kind: EntryKind::Txt(text.into()) };
    let service = |service: &str| Entry { service: Some(service.into()), ..txt("x") };
    let target = |target: &str| Entry {
        service: None,
        kind: EntryKind::Srv { priority: 0, weight: 0, port: 0, target: target.into() },
    };
    let good = typical_payload();
    assert!(good.encode().is_ok());
    let entries = |entry: Entry| DevicePayload { entries: vec![entry], ..good.clone() };
    for bad in [
        DevicePayload { addresses: vec![Bytes::from_static(b"a"); 9], ..good.clone() },
        DevicePayload { addresses: vec![Bytes::from(vec![0; 129])], ..good.clone() },
        DevicePayload { addresses: vec![Bytes::new()], ..good.clone() },
        DevicePayload { entries: vec![txt("x"); 17], ..good.clone() },
        DevicePayload { display: "x".repeat(65), ..good.clone() },
        DevicePayload { display: "a\u{1b}[2J".into(), ..good.clone() },
        DevicePayload { display: "a\nb".into(), ..good.clone() },
        entries(txt(&"x".repeat(256))),
        entries(txt("\u{7}")),
        entries(service("")),
        entries(service(&"s".repeat(64))),
        entries(service("a b")),
        entries(target("")),
        entries(target("a\u{7f}")),
        entries(target(&"t".repeat(254))),
    ] {
        assert!(matches!(bad.encode(), Err(Invalid::Payload(_))), "{bad:?}");
    }
    let many = EpochPayload { minimum: 0, revoked: (0..65).collect() };
    assert!(matches!(many.encode(), Err(Invalid::Payload(_))));
}

/// Goal: bounds hold for readers too, who can't trust the writer; newer writers may add fields and
/// entry types. Method: payloads written by hand.
#[test]
fn readers_check_bounds_and_pass_over_what_is_new() {
    let peer = [&[0x58, 32][..], &[2; 32]].concat();
    let payload = |fields: u8, rest: &[u8]| [&[0xa0 | fields, 0][..], &peer, rest].concat();
    let decode = |fields: u8, rest: &[u8]| DevicePayload::decode(&payload(fields, rest));
    assert!(decode(1, &[]).is_ok());
    assert!(decode(2, &[0x18, 99, 0x81, 0xf5]).is_ok(), "an unknown field");
    let known = decode(2, &[3, 0x82, 0x83, 0x18, 99, 0xf6, 0x01, 0x83, 0x10, 0xf6, 0x61, b'x']);
    assert_eq!(known.map(|payload| payload.entries.len()), Ok(1), "an entry of unknown type");
    assert!(
        decode(
            2,
            &[2, 0x89, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0, 0x41, 0]
        )
        .is_err()
    );
    assert!(decode(2, &[3, 0x81, 0x83, 0x01, 0xf6, 0x43, 1, 2, 3]).is_err(), "an address of 3 bytes");
    assert!(decode(2, &[3, 0x81, 0x84, 0x01, 0xf6, 0x44, 1, 2, 3, 4, 0x00]).is_err(), "an item too many");
    assert!(decode(2, &[3, 0x81, 0x81, 0x01]).is_err(), "no service");
    assert!(decode(2, &[4, 0x61, 7]).is_err(), "a control character");
    assert!(decode(2, &[0, 0x00]).is_err(), "a field twice");
    assert!(DevicePayload::decode(&[0xa1, 4, 0x60]).is_err(), "no peer");
    assert!(EpochPayload::decode(&[0xa2, 0, 1, 1, 0x82, 2, 1]).is_err(), "serials that descend");
    assert!(EpochPayload::decode(&[0xa1, 1, 0x80]).is_err(), "no minimum");
}

fn payloads() -> impl Strategy<Value = DevicePayload> {
    let kinds = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| EntryKind::A(ip.into())),
        any::<[u8; 16]>().prop_map(|ip| EntryKind::Aaaa(ip.into())),
        ("[a-z.-]{1,40}", any::<[u16; 3]>()).prop_map(|(target, [priority, weight, port])| {
            EntryKind::Srv { priority, weight, port, target }
        }),
        "\\PC{0,20}".prop_map(EntryKind::Txt),
    ];
    let entries =
        (option::of("_[a-z]{1,15}\\._(tcp|udp)"), kinds).prop_map(|(service, kind)| Entry { service, kind });
    let peers = || any::<[u8; 32]>().prop_map(PeerId::from_bytes);
    let addresses = vec(any::<u8>(), 1..=128).prop_map(Bytes::from);
    (peers(), option::of(peers()), vec(addresses, 0..=8), vec(entries, 0..=16), "\\PC{0,16}").prop_map(
        |(peer, parent, addresses, entries, display)| DevicePayload {
            peer,
            parent,
            addresses,
            entries,
            display,
        },
    )
}
