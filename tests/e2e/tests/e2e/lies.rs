//! Records that must not count: refused by who should store them and by who reads them.

use std::time::Duration;

use bytes::Bytes;
use callbook_e2e::authority::Device;
use callbook_e2e::{Authority, Census, Liar, Network, Outcome, Peer, R_OF_THREE, Stranger, until};
use callbook_overlay::cbor::Blob;
use callbook_overlay::key::{Key, NetworkId};
use callbook_overlay::record::Record;
use callbook_overlay::wire::{Message, Put, PutResult, Reason};

const FRESH: Duration = Duration::ZERO;
/// Longer than a record lives.
const LONG_AGO: Duration = Duration::from_secs(90 * 60 * 60);

/// The same authority on a network of another id.
fn abroad(authority: &Authority) -> Authority {
    let mut abroad = authority.clone();
    abroad.facts.id = NetworkId::from_bytes([13; 32]);
    abroad
}

fn put(stranger: &mut Stranger, record: &Bytes) -> PutResult {
    let [result] = put_together(stranger, [record]);
    result
}

fn put_together<const N: usize>(stranger: &mut Stranger, records: [&Bytes; N]) -> [PutResult; N] {
    match stranger.ask(Message::Put(Put { records: records.map(|record| Blob(record.clone())).into() })) {
        Some(Message::PutDone(done)) => done.results.try_into().expect("a result for each"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_storer_refuses_what_is_forged_expired_foreign_rolled_back_or_revoked() {
    // Goal: each bad record is refused for its reason by a real storer. Method: a stranger puts them; a good
    // one before and after is the control. None is found by a look-up afterwards.
    let network = Network::start_with(R_OF_THREE);
    let [superpeer] = network.superpeers();
    let authority = Authority::of(&network);
    let mut stranger = Stranger::meet(&authority.facts, superpeer.address());
    stranger.greet(&authority.facts, None);
    let (device, other) = (authority.device("alice"), authority.device("alice"));
    let accepted = |stranger: &mut Stranger, record: &Record| {
        let result = put(stranger, record.bytes());
        assert!(result.signature.is_some(), "{result:?}");
    };
    accepted(&mut stranger, &device.record(5, FRESH));

    let refused = |stranger: &mut Stranger, record: &Bytes, reason: Reason| {
        let result = put(stranger, record);
        assert_eq!((result.signature, result.refused), (None, Some(reason.to_wire())), "{result:?}");
        result.newer.map(|newer| Record::parse(newer.0).expect("a record"))
    };
    for (what, record) in bad_records(&authority, &other) {
        assert!(refused(&mut stranger, &record, Reason::Invalid).is_none(), "{what}");
    }
    // Beside another name's, or cut short.
    let beside = [device.record(5, FRESH), authority.device("bob").record(1, FRESH)];
    let [alice, bob] = put_together(&mut stranger, beside.each_ref().map(Record::bytes));
    assert!(alice.signature.is_some() && bob.signature.is_none(), "{alice:?} {bob:?}");
    assert_eq!(bob.refused, Some(Reason::Invalid.to_wire()));
    refused(&mut stranger, &other.record(1, FRESH).bytes().slice(..200), Reason::Invalid);
    // Rolled back: the newer one comes along.
    let newer = refused(&mut stranger, device.record(4, FRESH).bytes(), Reason::Stale);
    assert_eq!(newer.map(|newer| newer.header().seq), Some(5));
    // Revoked: its proof comes along, and the other device's record is taken all the same.
    let revocation = authority.revocation("alice", &[device.serial]);
    accepted(&mut stranger, &revocation);
    let proof = refused(&mut stranger, device.record(6, FRESH).bytes(), Reason::Invalid);
    assert_eq!(proof.map(|proof| proof.digest()), Some(revocation.digest()));
    accepted(&mut stranger, &other.record(1, FRESH));

    let found = superpeer.find("alice");
    let devices = found["devices"].as_array().expect("a list of devices");
    assert_eq!(devices.len(), 1, "{found}");
    assert_eq!(devices[0]["device"], other.hex(), "{found}");
}

/// Records of a device that are bad in themselves.
fn bad_records(authority: &Authority, device: &Device) -> [(&'static str, Bytes); 4] {
    let impostor = authority.impostor().device("alice");
    [
        ("forged", device.forged(7)),
        ("expired", device.record(7, LONG_AGO).bytes().clone()),
        ("of another network", abroad(authority).device("alice").record(7, FRESH).bytes().clone()),
        ("certified by nobody", impostor.record(7, FRESH).bytes().clone()),
    ]
}

/// Three certified superpeers that are a name's only storers and say what the test wants.
struct Lying<'a> {
    liars: Vec<Liar>,
    reader: &'a Peer,
    name: String,
    key: Key,
}

impl<'a> Lying<'a> {
    /// New liars around this name's key; all superpeers know them, and the login server, which may be the
    /// reader's parent.
    fn about(network: &Network, supers: &[Peer], reader: &'a Peer, name: &str) -> Self {
        let authority = Authority::of(network);
        let key = authority.key(name);
        let places = Census::take(network, &supers[0]).places();
        let addresses: Vec<_> = supers.iter().map(Peer::address).chain(network.server_address()).collect();
        let liar = |_| Liar::start(network, &key, &places, &addresses);
        let liars: Vec<Liar> = (0..R_OF_THREE).map(liar).collect();
        for address in &addresses {
            until(&format!("the liars are known at {address}"), || {
                let known = Census::take_at(network, address).places();
                liars.iter().all(|liar| known.contains(&liar.place(&authority.facts))).then_some(())
            });
        }
        Self { liars, reader, name: name.to_owned(), key }
    }

    /// What the reader makes of these records; all liars serve them, and at least one was asked.
    fn read(&self, records: &[Bytes]) -> Outcome {
        self.liars.iter().for_each(|liar| liar.serve(self.key, records));
        let asked = || self.liars.iter().map(Liar::asked).sum::<usize>();
        let before = asked();
        let outcome = self.reader.ask(&["lookup", "--fresh", &self.name]);
        assert!(asked() > before, "no liar was asked: {outcome:?}");
        outcome
    }

    /// The devices that the reader believes in, with the numbers of their records.
    fn believed(&self, records: &[Bytes]) -> Vec<(String, u64)> {
        let answer = self.read(records).json();
        let devices = answer["names"][0]["devices"].as_array().expect("a list of devices");
        let believed = devices.iter().map(|device| (device["device"].as_str(), device["seq"].as_u64()));
        believed.map(|(hex, seq)| (hex.unwrap_or_default().to_owned(), seq.unwrap_or_default())).collect()
    }
}

#[test]
fn a_reader_believes_no_storer_that_serves_what_is_forged_expired_or_foreign() {
    // Goal: who serves a record makes it no better. Method: for each kind all storers of a name serve such
    // a one. Control: the same liars serve a good record, and it is found.
    let network = Network::start_with(R_OF_THREE);
    let supers: [Peer; 2] = network.superpeers();
    let [reader] = network.children();
    let authority = Authority::of(&network);
    let kinds = bad_records(&authority, &authority.device("alice"));
    for (index, (what, _)) in kinds.iter().enumerate() {
        let name = format!("liar-{index}");
        let lying = Lying::about(&network, &supers, &reader, &name);
        let device = authority.device(&name);
        let good = device.record(1, FRESH).bytes().clone();
        assert_eq!(lying.believed(&[good]), [(device.hex(), 1)], "control of {what}");
        let other = authority.device(&name);
        let bad = match index {
            0 => other.forged(7),
            1 => other.record(7, LONG_AGO).bytes().clone(),
            2 => abroad(&authority).device(&name).record(7, FRESH).bytes().clone(),
            _ => authority.impostor().device(&name).record(7, FRESH).bytes().clone(),
        };
        let believed = lying.believed(&[bad]);
        assert!(believed.iter().all(|(hex, _)| *hex == device.hex()), "{what}: {believed:?}");
    }
}

#[test]
fn a_reader_remembers_what_was_newer_and_what_was_revoked() {
    // Goal: storers can't turn back the time of who has seen better. Method: a reader sees record 5, then all
    // storers serve record 4; it sees a revocation, then all storers serve the revoked device alone.
    let network = Network::start_with(R_OF_THREE);
    let supers: [Peer; 2] = network.superpeers();
    let [reader] = network.children();
    let authority = Authority::of(&network);
    let bytes = |record: Record| record.bytes().clone();

    let device = authority.device("rolled-back");
    let lying = Lying::about(&network, &supers, &reader, "rolled-back");
    assert_eq!(lying.believed(&[bytes(device.record(5, FRESH))]), [(device.hex(), 5)]);
    let believed = lying.believed(&[bytes(device.record(4, FRESH))]);
    assert!(believed.iter().all(|(_, seq)| *seq == 5), "{believed:?}");

    let (lost, kept) = (authority.device("revoked"), authority.device("revoked"));
    let lying = Lying::about(&network, &supers, &reader, "revoked");
    let (of_lost, of_kept) = (bytes(lost.record(1, FRESH)), bytes(kept.record(1, FRESH)));
    let both = lying.believed(&[of_lost.clone(), of_kept.clone()]);
    assert_eq!(both.len(), 2, "{both:?}");
    let revocation = bytes(authority.revocation("revoked", &[lost.serial]));
    let after = lying.believed(&[of_lost.clone(), of_kept, revocation]);
    assert_eq!(after, [(kept.hex(), 1)]);
    let believed = lying.believed(&[of_lost]);
    assert!(believed.iter().all(|(hex, _)| *hex == kept.hex()), "{believed:?}");
}
