//! The description of the wire (`docs/wire.cddl`) against the code: no number in one that the other
//! doesn't have.
//!
//! *Not here*: fields of messages, and login messages, which the core doesn't know.

use std::collections::BTreeSet;

use bytes::Bytes;
use callbook_overlay::record::Kind;
use callbook_overlay::sign::Tag;
use callbook_overlay::wire::{Frame, Message, Reason};

const CDDL: &str = include_str!("../../../../docs/wire.cddl");

/// The numbers of the lines `… = [id, NUMBER, …]`.
fn described_kinds() -> BTreeSet<u16> {
    let numbers = CDDL.lines().filter_map(|line| line.split_once("= [id, ")?.1.split(',').next());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// The numbers of the lines `word: NUMBER,` in the choice `name = &( … )`.
fn described_choice(name: &str) -> BTreeSet<u64> {
    let (_, rest) = CDDL.split_once(&format!("\n{name} = &(")).expect("the choice is described");
    let (choice, _) = rest.split_once(')').expect("the choice ends");
    let pairs = choice.lines().filter_map(|line| line.split(';').next()?.split_once(':'));
    pairs.map(|(_, number)| number.trim().trim_end_matches(',').parse().expect("a number")).collect()
}

/// Whether the codec has a message of this kind: an empty body is then a message, or lacks a field.
fn is_known(kind: u16) -> bool {
    let [high, low] = kind.to_be_bytes();
    let frame = Frame::read(Bytes::from(vec![0x83, 0x00, 0x19, high, low, 0xa0]));
    !matches!(frame, Ok(Frame { message: Message::Unknown { .. }, .. }))
}

/// A number that a new tag must be added to, or this doesn't compile.
const fn number(tag: Tag) -> u64 {
    match tag {
        Tag::Device
        | Tag::Epoch
        | Tag::Network
        | Tag::LoginCertificate
        | Tag::DeviceCertificate
        | Tag::NodeCertificate
        | Tag::Attachment
        | Tag::Reservation
        | Tag::Acknowledgement
        | Tag::Denial
        | Tag::Presence
        | Tag::Leave
        | Tag::Alive
        | Tag::Register
        | Tag::NodeRequest
        | Tag::DeviceRequest => tag as u64,
    }
}

/// Goal: every message kind is described, and none that isn't there. Method: ask the codec about all
/// numbers of two bytes, and compare with the frames in the description.
#[test]
fn every_message_kind_is_described() {
    let known: BTreeSet<u16> = (0..=u16::MAX).filter(|kind| is_known(*kind)).collect();
    assert!(known.contains(&1) && known.contains(&255), "the codec knows {known:?}");
    assert_eq!(described_kinds(), known);
}

/// Goal: every reason of a refusal is described, and none that isn't there. Method: as above.
#[test]
fn every_reason_is_described() {
    let known = (0..=u8::MAX).filter(|number| !matches!(Reason::from_wire(*number), Reason::Other(_)));
    assert_eq!(described_choice("reasons"), known.map(u64::from).collect());
}

/// Goal: every tag of a signature is described, record kinds among them. Method: name all tags.
#[test]
fn every_tag_is_described() {
    let tags = [
        Tag::Device,
        Tag::Epoch,
        Tag::Network,
        Tag::LoginCertificate,
        Tag::DeviceCertificate,
        Tag::NodeCertificate,
        Tag::Attachment,
        Tag::Reservation,
        Tag::Acknowledgement,
        Tag::Denial,
        Tag::Presence,
        Tag::Leave,
        Tag::Alive,
        Tag::Register,
        Tag::NodeRequest,
        Tag::DeviceRequest,
    ];
    let described = described_choice("tag");
    assert_eq!(described, tags.into_iter().map(number).collect());
    let kinds = (0..=255).filter(|number| Kind::from_code(*number).is_some());
    assert!(kinds.clone().count() > 0 && kinds.clone().all(|number| described.contains(&number)));
}
