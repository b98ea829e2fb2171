//! Forged and damaged records: each one is refused, and nothing that arrives panics.

use bytes::Bytes;
use callbook_overlay::Invalid;
use callbook_overlay::cbor::strict;
use callbook_overlay::certificate::{DEVICE_LIFE, DeviceCertificate, LoginCertificate, NodeCertificate};
use callbook_overlay::invalid::Subject;
use callbook_overlay::key::{Key, NetworkId};
use callbook_overlay::limits::{CLOCK_TOLERANCE, DEVICE_LIFE_MAX, RECORD_BYTES_MAX};
use callbook_overlay::record::{ChainCache, DevicePayload, EpochPayload, Record};
use callbook_overlay::sign::{SecretKey, Tag};
use callbook_overlay::time::Unix;
use callbook_overlay::wire::{Frame, Hint};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::fixture::{Fields, NOW, World, device_certificate, login_certificate, string, wrap};

/// A device record's parts as they travel.
struct Parts {
    body: Vec<u8>,
    signature: [u8; 64],
    chain: Vec<Bytes>,
}

impl Parts {
    fn of(world: &World) -> Self {
        let body = Fields::of(world).body();
        let signature = world.signature(Tag::Device, &body, &world.device);
        Self { body, signature, chain: world.chain().to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        wrap(&self.body, &self.signature, &self.chain)
    }
}

/// Goal: not one bit of a record can be changed, whether its chain is remembered or not. Method: flip
/// every bit of a device record and of an epoch record. The unchanged ones are the control.
#[test]
fn every_flipped_bit_is_refused() {
    let world = World::new();
    for record in [world.typical(7), world.epoch(2, &[3, 400], 1)] {
        let mut cache = ChainCache::default();
        assert!(world.accept(record.bytes(), &mut cache).is_ok());
        for bit in 0..record.bytes().len() * 8 {
            let mut bytes = record.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(world.accept(&bytes, &mut cache).is_err(), "bit {bit}, chain remembered");
            assert!(world.accept_afresh(&bytes).is_err(), "bit {bit}, chain not remembered");
        }
        assert!(world.accept(record.bytes(), &mut cache).is_ok());
    }
}

/// Goal: a signature holds for the fields it was made over. Method: change each field of the body, keep
/// signature and chain.
#[test]
fn every_field_changed_after_signing_is_refused() {
    let world = World::new();
    let good = Fields::of(&world);
    let mut parts = Parts::of(&world);
    assert!(world.accept_afresh(&parts.bytes()).is_ok());
    for changed in [
        Fields { version: 2, ..good.clone() },
        Fields { algorithm: 2, ..good.clone() },
        Fields { kind: 2, ..good.clone() },
        Fields { key: Key::from_bytes([0; 32]), ..good.clone() },
        Fields { epoch: 1, ..good.clone() },
        Fields { seq: 8, ..good.clone() },
        Fields { not_before: good.not_before + 1, ..good.clone() },
        Fields { not_after: good.not_after - 1, ..good.clone() },
        Fields { ttl: 61, ..good.clone() },
        Fields { payload: vec![6; 100], ..good.clone() },
    ] {
        parts.body = changed.body();
        assert!(world.accept_afresh(&parts.bytes()).is_err(), "{changed:?}");
    }
}

/// Goal: a device key can't sign what its kind doesn't allow. Method: one broken rule at a time, signed
/// properly; the reason must be the broken rule.
#[test]
fn a_writer_cannot_break_the_rules_of_its_kind() {
    let world = World::new();
    let good = Fields::of(&world);
    let from = NOW.as_secs();
    let tolerance = CLOCK_TOLERANCE.as_secs();
    let life = DEVICE_LIFE_MAX.as_secs();
    for (changed, expected) in [
        (Fields { version: 2, ..good.clone() }, Invalid::Version { version: 2 }),
        (Fields { algorithm: 9, ..good.clone() }, Invalid::Algorithm { algorithm: 9 }),
        (Fields { kind: 3, ..good.clone() }, Invalid::Unsupported { kind: 3 }),
        (Fields { kind: 257, ..good.clone() }, Invalid::Unsupported { kind: 257 }),
        (Fields { kind: 2, ..good.clone() }, Invalid::Chain),
        (Fields { key: Key::from_bytes([0; 32]), ..good.clone() }, Invalid::Name),
        (Fields { epoch: 1, ..good.clone() }, Invalid::Epoch),
        (Fields { not_after: from + life + 1, ..good.clone() }, Invalid::Life(Subject::Record)),
        (Fields { not_after: from - 1, ..good.clone() }, Invalid::Life(Subject::Record)),
        (Fields { not_before: 0, not_after: u64::MAX, ..good.clone() }, Invalid::Life(Subject::Record)),
        (Fields { not_before: from + tolerance + 1, ..good.clone() }, Invalid::Future(Subject::Record)),
        (
            Fields { not_before: from - life, not_after: from - tolerance - 1, ..good.clone() },
            Invalid::Expired(Subject::Record),
        ),
    ] {
        assert_eq!(world.accept_afresh(&changed.signed(&world)), Err(expected), "{changed:?}");
    }
    let large = Fields { payload: vec![0; RECORD_BYTES_MAX], ..good }.signed(&world);
    assert!(matches!(world.accept_afresh(&large), Err(Invalid::Size { .. })));
}

/// Goal: a record doesn't outlive its certificates. Method: certificates that end before it.
#[test]
fn a_record_cannot_outlive_its_chain() {
    let world = World::new();
    let id = &world.network.id;
    let mut parts = Parts::of(&world);
    let end = NOW + DEVICE_LIFE_MAX;
    let short = |not_after: Unix| {
        DeviceCertificate { not_after, ..device_certificate(world.key(), &world.device) }
            .issue(id, &world.login)
    };
    parts.chain[1] = short(end);
    assert!(world.accept_afresh(&parts.bytes()).is_ok());
    parts.chain[1] = short(Unix::from_secs(end.as_secs() - 1));
    assert_eq!(world.accept_afresh(&parts.bytes()), Err(Invalid::Outlives));
    parts.chain[1] = world.device_certificate.clone();
    let login =
        LoginCertificate { not_after: Unix::from_secs(end.as_secs() - 1), ..login_certificate(&world.login) };
    parts.chain[0] = login.issue(id, &world.root);
    assert_eq!(world.accept_afresh(&parts.bytes()), Err(Invalid::Outlives));
}

/// Goal: each certificate counts only where it belongs. Method: exchange certificates between names,
/// devices, roles, signers and networks. All pass through one cache, which must not confuse them.
#[test]
fn every_swapped_certificate_is_refused() {
    let world = World::new();
    let elsewhere = World::with_id(NetworkId::from_bytes([2; 32]));
    let id = &world.network.id;
    let stranger = SecretKey::from_seed([66; 32]);
    let bob = world.network.name_key(&callbook_overlay::Username::parse("bob").unwrap());
    let ours = device_certificate(world.key(), &world.device);
    let [login, device] = world.chain();
    let of_bob = device_certificate(bob, &world.device).issue(id, &world.login);
    let of_other_device = device_certificate(world.key(), &stranger).issue(id, &world.login);
    let by_stranger = ours.issue(id, &stranger);
    let by_root = ours.issue(id, &world.root);
    let stranger_login = login_certificate(&stranger).issue(id, &stranger);
    let too_long = DeviceCertificate { not_after: Unix::from_secs(ours.not_after.as_secs() + 1), ..ours };
    let too_long = too_long.issue(id, &world.login);
    let node = NodeCertificate::issue(world.device_peer(), [0; 16], NOW..NOW + DEVICE_LIFE, id, &world.login);
    let signature = Invalid::Signature;

    let mut cache = ChainCache::default();
    let mut parts = Parts::of(&world);
    assert!(world.accept(&parts.bytes(), &mut cache).is_ok());
    for (what, chain, expected) in [
        ("another name's", vec![login.clone(), of_bob], Invalid::Name),
        ("another device's", vec![login.clone(), of_other_device], signature(Subject::Record)),
        (
            "signed by a stranger",
            vec![login.clone(), by_stranger.clone()],
            signature(Subject::DeviceCertificate),
        ),
        ("signed by the root", vec![login.clone(), by_root], signature(Subject::DeviceCertificate)),
        ("a stranger's chain", vec![stranger_login, by_stranger], signature(Subject::LoginCertificate)),
        ("too long a life", vec![login.clone(), too_long], Invalid::Life(Subject::DeviceCertificate)),
        ("reversed", vec![device.clone(), login.clone()], Invalid::Chain),
        ("two logins", vec![login.clone(), login.clone()], Invalid::Chain),
        ("two devices", vec![device.clone(), device.clone()], Invalid::Chain),
        ("a node's", vec![login.clone(), node.bytes().clone()], Invalid::Chain),
        ("the login's alone", vec![login.clone()], Invalid::Chain),
        ("none", vec![], Invalid::Chain),
        ("one too many", vec![login.clone(), device.clone(), device.clone()], Invalid::Chain),
        ("five", vec![login.clone(); 5], Invalid::Chain),
        (
            "elsewhere's login",
            vec![elsewhere.login_certificate.clone(), device],
            signature(Subject::LoginCertificate),
        ),
        ("elsewhere's device", vec![login, elsewhere.device_certificate.clone()], Invalid::Name),
        ("elsewhere's chain", elsewhere.chain().to_vec(), Invalid::Name),
    ] {
        parts.chain = chain;
        assert_eq!(world.accept(&parts.bytes(), &mut cache), Err(expected), "{what}");
        assert_eq!(world.accept_afresh(&parts.bytes()), Err(expected), "{what}, nothing remembered");
    }
}

/// Goal: a signature made for one purpose or network doesn't count for another. Method: the same body
/// and chain under each tag, by each key, and on another network.
#[test]
fn a_signature_counts_for_one_purpose_and_network() {
    let world = World::new();
    let mut parts = Parts::of(&world);
    for tag in [Tag::Epoch, Tag::Network, Tag::DeviceCertificate, Tag::Register, Tag::DeviceRequest] {
        parts.signature = world.signature(tag, &parts.body, &world.device);
        assert_eq!(world.accept_afresh(&parts.bytes()), Err(Invalid::Signature(Subject::Record)), "{tag:?}");
    }
    for key in [&world.login, &world.root] {
        parts.signature = world.signature(Tag::Device, &parts.body, key);
        assert_eq!(world.accept_afresh(&parts.bytes()), Err(Invalid::Signature(Subject::Record)));
    }
    // The same id in the chain's key, so that nothing but the signatures differs.
    let elsewhere = World::with_id(NetworkId::from_bytes([2; 32]));
    let foreign = Parts::of(&elsewhere).bytes();
    assert!(elsewhere.accept_afresh(&foreign).is_ok());
    let login = Err(Invalid::Signature(Subject::LoginCertificate));
    assert_eq!(world.accept_afresh(&foreign), login);
}

/// Goal: only a login key sets an epoch. Method: an epoch record by the device key, under the login's
/// chain and under its own, and one whose payload says another epoch than its header.
#[test]
fn only_a_login_key_sets_an_epoch() {
    let world = World::new();
    let payload = EpochPayload { minimum: 5, revoked: vec![] }.encode().unwrap();
    let fields = Fields { kind: 2, epoch: 5, payload, ..Fields::of(&world) };
    let body = fields.body();
    let login = [world.login_certificate.clone()];
    let record = |body: &[u8], key: &SecretKey, chain: &[Bytes]| {
        wrap(body, &world.signature(Tag::Epoch, body, key), chain)
    };
    assert!(world.accept_afresh(&record(&body, &world.login, &login)).is_ok());
    let forged = world.accept_afresh(&record(&body, &world.device, &login));
    assert_eq!(forged, Err(Invalid::Signature(Subject::Record)));
    assert_eq!(world.accept_afresh(&record(&body, &world.device, &world.chain())), Err(Invalid::Chain));
    let contrary = Fields { epoch: 6, ..fields }.body();
    assert_eq!(world.accept_afresh(&record(&contrary, &world.login, &login)), Err(Invalid::Epoch));
}

/// Goal: a record has one encoding; all others are refused, even properly signed. Method: write the same
/// content in every other way that CBOR has, in the envelope, the body and the certificate.
#[test]
fn every_other_encoding_is_refused() {
    let world = World::new();
    let parts = Parts::of(&world);
    let good = parts.bytes();
    assert!(world.accept_afresh(&good).is_ok());
    let refused = |bytes: &[u8], what: &str| {
        assert!(matches!(Record::parse(bytes), Err(Invalid::Form(_) | Invalid::Chain)), "{what}");
    };
    for size in 0..good.len() {
        refused(&good[..size], "cut");
    }
    refused(&[&good[..], &[0]].concat(), "a trailing byte");
    let (body, signature) = (string(&parts.body), string(&parts.signature));
    let chain = [&[0x82][..], &string(&parts.chain[0]), &string(&parts.chain[1])].concat();
    let signature = &signature[..];
    assert_eq!([&[0xa3, 0][..], &body, &[1], signature, &[2], &chain].concat(), good);
    refused(&[&[0xa3, 1][..], signature, &[0], &body, &[2], &chain].concat(), "fields out of order");
    refused(&[&[0xa4, 0][..], &body, &[0], &body, &[1], signature, &[2], &chain].concat(), "a field twice");
    refused(&[&[0xa4, 0][..], &body, &[1], signature, &[2], &chain, &[3, 0]].concat(), "a field more");
    refused(&[&[0xa2, 0][..], &body, &[1], signature].concat(), "a field less");
    refused(&[&[0xbf, 0][..], &body, &[1], signature, &[2], &chain, &[0xff]].concat(), "an indefinite map");
    refused(&[&[0xa3, 0x18, 0][..], &body, &[1], signature, &[2], &chain].concat(), "a long key");
    refused(&[&[0xa3, 0][..], &body, &[1], signature, &[2, 0x98], &chain[..]].concat(), "a long head");

    let resigned = |body: &[u8]| wrap(body, &world.signature(Tag::Device, body, &world.device), &parts.chain);
    assert_eq!(resigned(&parts.body), good);
    refused(&resigned(&[&parts.body[..], &[0]].concat()), "a trailing byte in the body");
    refused(&resigned(&with(&parts.body, 0, &[0xbf], &[0xff])), "an indefinite map in the body");
    let version = 2;
    assert_eq!(parts.body[version], 1);
    refused(&resigned(&splice(&parts.body, version, &[0x18, 1])), "a long integer in the body");
    refused(&resigned(&splice(&parts.body, version, &[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0])), "a float");
    refused(&resigned(&splice(&parts.body, version, &[0xc0, 1])), "a tag");
    refused(&resigned(&with(&parts.body, 0, &[0xab], &[9, 0x40])), "a field of the body twice");
    refused(&resigned(&with(&parts.body, 0, &[0xab], &[10, 0x40])), "an unknown field of the body");
}

/// Goal: the same for certificates. Method: rewrite the body of a device certificate in other ways, and
/// have the login key sign it.
#[test]
fn a_certificate_has_one_encoding_too() {
    let world = World::new();
    let body: &minicbor::bytes::ByteSlice =
        minicbor::Decoder::new(&world.device_certificate[1..]).decode().unwrap();
    let mut parts = Parts::of(&world);
    let mut accept = |body: &[u8]| {
        let signature = world.signature(Tag::DeviceCertificate, body, &world.login);
        parts.chain[1] = [&[0x82][..], &string(body), &string(&signature)].concat().into();
        world.accept_afresh(&parts.bytes())
    };
    assert!(accept(body).is_ok());
    let version = 2;
    assert_eq!(body[version], 1);
    assert_eq!(accept(&splice(body, version, &[2])), Err(Invalid::Version { version: 2 }));
    for (bytes, what) in [
        (splice(body, version, &[0x18, 1]), "a long integer"),
        (with(body, 0, &[0xbf], &[0xff]), "an indefinite map"),
        (with(body, 0, &[0xa9], &[8, 0]), "an unknown field"),
        (with(body, 0, &[0xa9], &[7, 0]), "a field twice"),
        ([&body[..], &[0]].concat(), "a trailing byte"),
        (body[..body.len() - 1].to_vec(), "cut"),
    ] {
        assert!(matches!(accept(&bytes), Err(Invalid::Form(_))), "{what}");
    }
}

/// `bytes` with the byte at `place` replaced.
fn splice(bytes: &[u8], place: usize, new: &[u8]) -> Vec<u8> {
    [&bytes[..place], new, &bytes[place + 1..]].concat()
}

/// As [`splice`], with more at the end.
fn with(bytes: &[u8], place: usize, new: &[u8], end: &[u8]) -> Vec<u8> {
    [&splice(bytes, place, new)[..], end].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Goal: no parser panics, whatever arrives. Method: random bytes into all of them.
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(parse_all(&bytes));
    }

    /// Goal: the same for what is nearly valid, which gets further. Method: overwrite a stretch of a
    /// valid record, certificate or payload, or cut one out; whatever still differs is refused.
    #[test]
    fn damaged_bytes_never_panic_and_are_refused(
        which in 0..4_usize, start: Index, size in 0..40_usize, noise in vec(any::<u8>(), 0..40),
    ) {
        let world = World::shared();
        let record = world.typical(7);
        let payload = Bytes::from(crate::fixture::typical_payload().encode().expect("within the bounds"));
        let original = [record.bytes(), &world.device_certificate, &world.login_certificate, &payload][which];
        let start = start.index(original.len());
        let end = (start + size).min(original.len());
        let damaged = [&original[..start], &noise[..], &original[end..]].concat();
        prop_assert!(parse_all(&damaged));
        if which == 0 && damaged != *record.bytes() {
            prop_assert!(world.accept_afresh(&damaged).is_err());
        }
    }

    /// Goal: every item in the one allowed encoding passes, and ends where it ends. Method: random items;
    /// with anything at the end missing or added they fail.
    #[test]
    fn the_strict_form_accepts_whole_items_only(item in items()) {
        prop_assert_eq!(strict(&item), Ok(()));
        prop_assert!((0..item.len()).all(|size| strict(&item[..size]).is_err()));
        prop_assert!(strict(&[&item[..], &[0]].concat()).is_err());
    }
}

/// Whether every parser returns, and what the parsers of signed bytes and payloads accept is strict.
fn parse_all(bytes: &[u8]) -> bool {
    let signed = [
        Record::parse(bytes).is_ok(),
        LoginCertificate::parse(bytes).is_ok(),
        DeviceCertificate::parse(bytes).is_ok(),
        NodeCertificate::parse(bytes).is_ok(),
        DevicePayload::decode(bytes).is_ok(),
        EpochPayload::decode(bytes).is_ok(),
    ];
    let frames = [Hint::from_bytes(bytes).is_ok(), Frame::read(Bytes::copy_from_slice(bytes)).is_ok()];
    assert!(frames.iter().filter(|accepted| **accepted).count() < 2, "a hint is no frame");
    strict(bytes).is_ok() || signed.iter().all(|accepted| !accepted)
}

/// Random CBOR items, encoded in the one allowed way.
fn items() -> impl Strategy<Value = Vec<u8>> {
    let encoded = |item: Result<Vec<u8>, minicbor::encode::Error<std::convert::Infallible>>| {
        item.expect("writing to memory")
    };
    let leaf = prop_oneof![
        any::<u64>().prop_map(move |number| encoded(minicbor::to_vec(number))),
        (0..70_000_u64).prop_map(move |number| encoded(minicbor::to_vec(number))),
        any::<i64>().prop_map(move |number| encoded(minicbor::to_vec(number))),
        any::<bool>().prop_map(move |truth| encoded(minicbor::to_vec(truth))),
        "\\PC{0,30}".prop_map(move |text| encoded(minicbor::to_vec(text))),
        vec(any::<u8>(), 0..300).prop_map(|bytes| string(&bytes)),
    ];
    leaf.prop_recursive(4, 30, 6, |inner| {
        let array = vec(inner.clone(), 0..6).prop_map(|items| {
            [vec![0x80 | u8::try_from(items.len()).expect("few")], items.concat()].concat()
        });
        let map = prop::collection::btree_map(0..24_u8, inner, 0..6).prop_map(|pairs| {
            let mut bytes = vec![0xa0 | u8::try_from(pairs.len()).expect("few")];
            pairs.into_iter().for_each(|(key, value)| bytes.extend([vec![key], value].concat()));
            bytes
        });
        prop_oneof![array, map]
    })
}
