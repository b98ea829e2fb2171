//! The bodies of the messages; their fields are described in `docs/wire.cddl`.
//!
//! Unknown fields are skipped, so a later version may add some. What is signed travels as a [`Blob`]
//! and is never encoded again.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use minicbor::{Decode, Encode};

use super::{Briefs, ChainList, Hint, Item, ItemList, Known, Marks, Parts};
use crate::cbor::{Blob, Source};
use crate::key::{Digest, Key, PeerId};
use crate::sign::Signature;

/// The first frame of both sides on every link; the link is up once it has come.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Open {
    /// Lowest protocol version spoken.
    #[n(0)]
    pub protocol_min: u32,
    /// Highest protocol version spoken.
    #[n(1)]
    pub protocol_max: u32,
    /// Feature bits, such as [`TELLS_CHILDREN`](super::TELLS_CHILDREN); those that are not known say nothing.
    #[n(2)]
    pub features: u64,
    /// Software name and version.
    #[n(3)]
    pub agent: String,
    /// 0 child, 1 superpeer, 2 superpeer that has joined lately and takes its range over.
    #[n(4)]
    pub role: u8,
    /// 0–254, in 255ths of `children_max`; 255 takes none.
    #[n(5)]
    pub load: u8,
    /// The sender's wall clock, in seconds.
    #[n(6)]
    pub unix_time: u64,
    /// Version of the sender's `network.toml`.
    #[n(7)]
    pub network_version: u64,
    /// A superpeer's own hint.
    #[n(8)]
    pub hint: Option<Hint>,
    /// How many children a superpeer has, with that feature: a number, for who counts the network's peers.
    #[n(9)]
    pub children: Option<u32>,
    /// For how many seconds a superpeer knows that the network has been there: itself, or those who told it so.
    #[n(10)]
    pub network_age: Option<u32>,
    /// A superpeer that has just started: that it lives, for those who think it gone.
    #[n(11)]
    pub alive: Option<Box<Statement>>,
    /// A superpeer, in place of its hint: what marks that ([`Hint::mark`]), for who is likely to have it.
    #[n(12)]
    pub mark: Option<u32>,
}

impl Open {
    /// How many children it says that it has; `None` if it doesn't want to be counted.
    #[must_use]
    pub fn counted(&self) -> Option<u32> {
        self.children.filter(|_| self.features & super::TELLS_CHILDREN != 0)
    }
}

/// Keeps a neighbour relation alive and measures its round trip; answered in kind.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// 0–254, in 255ths of `children_max`; 255 takes none.
    #[n(0)]
    #[cbor(default, skip_if = "is_zero")]
    pub load: u8,
    /// Frames received from the other side since the last hello to it, at most 255.
    #[n(1)]
    #[cbor(default, skip_if = "is_zero")]
    pub heard: u8,
    /// Version of the sender's `network.toml`; 0 if it is as told before.
    #[n(2)]
    #[cbor(default, skip_if = "is_zero")]
    pub network_version: u64,
    /// The sender's wall clock, in seconds; 0 if it has gone on since it was told.
    #[n(3)]
    #[cbor(default, skip_if = "is_zero")]
    pub unix_time: u64,
    /// The sender's own hint, and other superpeers that a child may turn to.
    #[n(4)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub gossip: Vec<Hint>,
    /// What superpeers signed about themselves.
    #[n(5)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub statements: Vec<Statement>,
    /// So many seconds of quiet the sender lets pass before its next hello, from now on; 10 if it says
    /// less, or nothing.
    #[n(7)]
    #[cbor(default, skip_if = "is_zero")]
    pub interval: u16,
    /// Superpeers that the sender thinks are news.
    #[n(8)]
    #[cbor(default, skip_if = "Briefs::is_empty")]
    pub news: Briefs,
    /// Superpeers that failed the sender, or whose failure it heard of.
    #[n(9)]
    #[cbor(default, skip_if = "Briefs::is_empty")]
    pub suspects: Briefs,
}

/// What a reader takes it for if it is missing.
fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// Asks for superpeers that were news in a hello.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Who {
    /// Which.
    #[n(0)]
    pub of: Briefs,
    /// Others, which the asker remembers as gone: their word that they live will do.
    #[n(1)]
    #[cbor(default, skip_if = "Briefs::is_empty")]
    pub back: Briefs,
}

/// Those of them that are in the sender's map.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Named {
    /// Where they are.
    #[n(0)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub hints: Vec<Hint>,
    /// That they live, of those that have said so lately.
    #[n(1)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub statements: Vec<Statement>,
}

/// A superpeer's own word that it leaves, or that it is alive after all.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Statement {
    /// Whose.
    #[n(0)]
    pub peer: PeerId,
    /// Its wall clock, in seconds; of two statements the newer counts.
    #[n(1)]
    pub unix_time: u64,
    /// Alive, or leaving.
    #[n(2)]
    pub alive: bool,
    /// Its signature over `peer ‖ unix_time`, tagged as the one or the other.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub signature: Signature,
}

/// Asks for the superpeers closest to a key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Closest {
    /// The key.
    #[n(0)]
    pub key: Key,
    /// At most so many.
    #[n(1)]
    pub count: u8,
    /// Whom the asker knows of them.
    #[n(2)]
    #[cbor(default)]
    pub known: Known,
    /// Of whom it has the certificates from its last run, but does not know whether they are there.
    #[n(3)]
    #[cbor(default, skip_if = "Known::is_empty")]
    pub remembered: Known,
}

/// Superpeers closest to the asked key, nearest first.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hints {
    /// The superpeers that the asker neither knows nor remembers.
    #[n(0)]
    pub hints: Vec<Hint>,
    /// All that were asked for, known or not, share at least so many bits with the key; `None` if there are
    /// not so many.
    #[n(1)]
    pub shared: Option<u8>,
    /// Those that the asker remembers, and that are there.
    #[n(2)]
    #[cbor(default, skip_if = "Known::is_empty")]
    pub there: Known,
}

/// Asks which superpeers are in a range of the key space, or for some of them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Survey {
    /// The bits that the keys of the range begin with, the highest first; the others are zero.
    #[n(0)]
    pub first: u64,
    /// How many these are.
    #[n(1)]
    pub bits: u8,
    /// The beginning of the hash over the marks of those that the asker knows there: who knows the same answers nothing.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub hash: Option<[u8; 8]>,
    /// Which of them are asked for, when that is known.
    #[n(3)]
    #[cbor(default, skip_if = "Marks::is_empty")]
    pub wanted: Marks,
}

impl Survey {
    /// The range.
    #[must_use]
    pub fn range(&self) -> Range {
        Range::beginning(self.first, self.bits)
    }
}

/// The superpeers of a range: all their marks if these are few, else a hash for each sixteenth; or those asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Surveyed {
    /// The marks, in the order of their places.
    #[n(0)]
    #[cbor(default, skip_if = "Marks::is_empty")]
    pub marks: Marks,
    /// A hash over the marks of each sixteenth.
    #[n(1)]
    pub parts: Option<Parts>,
    /// Those that were asked for.
    #[n(2)]
    #[cbor(default, skip_if = "Vec::is_empty")]
    pub hints: Vec<Hint>,
}

/// Asks a storer for the bundle under a key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Get {
    /// The key.
    #[n(0)]
    pub key: Key,
    /// Whom the asker knows around it.
    #[n(1)]
    #[cbor(default)]
    pub known: Known,
}

/// A storer's bundle; no device record in it is a denial.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Got {
    /// The records, as they were signed.
    #[n(0)]
    pub records: Vec<Blob>,
    /// Superpeers closer to the key that the asker does not know, sent along with a denial.
    #[n(1)]
    pub closer: Vec<Hint>,
    /// Puts may have passed the storer over: others know better, if there are any.
    #[n(2)]
    #[cbor(default)]
    pub passed_over: bool,
}

/// Asks a storer to keep records of one key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Put {
    /// The records, each with its chain or, where the storer may hold that, with what names it.
    #[n(1)]
    pub records: Vec<Blob>,
}

/// What became of each record of a [`Put`], in its order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct PutDone {
    /// One for each record.
    #[n(0)]
    pub results: Vec<PutResult>,
    /// The other records that the storer holds under the key, so that the asker's picture is whole.
    #[n(1)]
    pub others: Vec<Blob>,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct PutResult {
    /// The storer's signature over `key ‖ digest`, if it holds the record now.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub signature: Option<Signature>,
    /// Otherwise why not: a [`super::Reason`].
    #[n(2)]
    pub refused: Option<u8>,
    /// The record that is newer, if that is why.
    #[n(3)]
    pub newer: Option<Blob>,
}

/// Asks to become the sender's parent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Attach {
    /// An encoded [`super::AttachmentBody`].
    #[n(0)]
    pub body: Blob,
    /// The child's signature over it.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub signature: Signature,
    /// That the child has an account, if it has one and asks to attach.
    #[n(2)]
    pub voucher: Option<Voucher>,
    /// The child would be a superpeer if one more is needed.
    #[n(3)]
    #[cbor(default)]
    pub volunteers: bool,
}

/// Proof that a peer has an account.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Voucher {
    /// Login certificate, then device certificate, as in the chain of a record.
    #[n(0)]
    pub chain: Vec<Blob>,
    /// The device key's signature over parent and child, as in [`Register`].
    #[cbor(n(1), with = "minicbor::bytes")]
    pub signature: Signature,
}

/// The parent's half of the attachment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Attached {
    /// The parent's signature over the body that the child sent.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub signature: Signature,
}

/// Asks the parent to index a device record and to store it in the overlay.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Register {
    /// The record.
    #[n(0)]
    pub record: Blob,
    /// The device key's signature over `parent ‖ child`.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub signature: Signature,
}

/// The record is held by a majority.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Registered {
    /// Of so many storers.
    #[n(0)]
    pub of: u8,
    /// The storers' own words, so that a parent can't make them up.
    #[n(1)]
    pub acknowledgements: Vec<Acknowledgement>,
}

/// A storer's word that it holds a record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Acknowledgement {
    /// The storer's node certificate.
    #[n(0)]
    pub certificate: Blob,
    /// Its signature over `key ‖ digest`.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub signature: Signature,
}

/// Asks the parent to resolve a key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Resolve {
    /// The name's key.
    #[n(0)]
    pub key: Key,
    /// Bit 0: pass over caches; 1: cross-check; 2: trace.
    #[n(1)]
    pub flags: u8,
}

/// What the parent found.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Resolved {
    /// 0 found, 1 absent, 2 unknown.
    #[n(0)]
    pub status: u8,
    /// The bundle, or with an absent name the epoch record if there is one; chain and signatures are for
    /// the child to check.
    #[n(1)]
    pub records: Vec<Blob>,
    /// Sequential requests that the parent made.
    #[n(2)]
    pub hops: u8,
    /// 1 index, 2 store, 3 cache, 4 overlay.
    #[n(3)]
    pub source: u8,
    /// Storers that denied.
    #[n(4)]
    pub denials: u8,
    /// Storers that count.
    #[n(5)]
    pub storers: u8,
    /// The parent's steps, if they were asked for.
    #[n(6)]
    pub trace: Vec<TraceStep>,
}

/// A request that a parent made for a look-up.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TraceStep {
    /// Who was asked.
    #[n(0)]
    pub peer: PeerId,
    /// When, in microseconds since the parent was asked.
    #[n(1)]
    pub at_micros: u32,
    /// For how long, in microseconds.
    #[n(2)]
    pub took_micros: u32,
    /// 0 found, 1 denied, 2 syncing, 3 unknown, 4 refused, 5 silent, 6 unreachable, 7 invalid,
    /// 8 pending, 9 named others.
    #[n(3)]
    pub answer: u8,
    /// Devices found; superpeers named.
    #[n(4)]
    pub devices: u8,
}

/// Asks to be told of changes under a key, or not any more; answered by [`Changed`] and again at
/// every change (then with id 0).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Watch {
    /// The key.
    #[n(0)]
    pub key: Key,
    /// For how many seconds from receipt; 0 ends the watch.
    #[n(1)]
    pub secs: u32,
}

/// What is under a watched key now.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Changed {
    /// The key.
    #[n(0)]
    pub key: Key,
    /// 0 found, 1 absent, 2 unknown.
    #[n(1)]
    pub status: u8,
    /// The bundle.
    #[n(2)]
    pub records: Vec<Blob>,
}

/// Asks whether a child of `parent` is there. A parent that is another one passes the question on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PresenceAsk {
    /// Whose child.
    #[n(0)]
    pub parent: PeerId,
    /// Which child.
    #[n(1)]
    pub child: PeerId,
}

/// A parent's word on a child of its own.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct PresenceTold {
    /// An encoded [`super::PresenceBody`]; empty if nothing is known.
    #[n(0)]
    pub body: Blob,
    /// The parent's signature over it.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub signature: Signature,
    /// Online: the child's [`super::AttachmentBody`], else empty.
    #[n(2)]
    pub attachment: Blob,
    /// The child's own signature: over the attachment, or its goodbye.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub child_signature: Signature,
}

/// A part of the key space: the keys that share the first `bits` bits with `prefix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Range {
    /// The bits; those after the first `bits` are zero.
    #[n(0)]
    pub prefix: Key,
    /// How many, at most 60.
    #[n(1)]
    pub bits: u8,
}

/// Asks what is held in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Compare {
    /// As in [`Range`].
    #[n(0)]
    pub prefix: Key,
    /// As in [`Range`].
    #[n(1)]
    pub bits: u8,
    /// What the asker holds in its parts: of those that are the same nothing has to be told.
    #[n(2)]
    pub held: Option<Parts>,
}

impl Compare {
    /// The range.
    #[must_use]
    pub const fn range(&self) -> Range {
        Range { prefix: self.prefix, bits: self.bits }
    }
}

impl From<Range> for Compare {
    fn from(Range { prefix, bits }: Range) -> Self {
        Self { prefix, bits, held: None }
    }
}

/// What a superpeer holds in a range: all items if they are few, else sixteen parts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Digests {
    /// The items, sorted. (Number 0 has been items with whole keys and digests.)
    #[n(4)]
    #[cbor(default)]
    pub items: ItemList,
    /// A hash over the items of each of the sixteen parts of the range, in their order; empty if
    /// `items` is all. The hash of nothing is all zeroes.
    #[n(1)]
    pub parts: Vec<Digest>,
    /// Whether the sender has not finished taking over its own range.
    #[n(2)]
    #[cbor(default)]
    pub syncing: bool,
    /// A bit for each of the sixteen parts, the first one lowest, that is as the asker said: of these no
    /// items are told.
    #[n(3)]
    #[cbor(default)]
    pub same: u16,
}

/// Asks for records by name, or offers them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Items {
    /// The records meant. (Number 0 has been items with whole keys and digests.)
    #[n(1)]
    #[cbor(default)]
    pub items: ItemList,
    /// Of a pull: the chains of records of the same names that the asker holds, one for each item, zeroes for none.
    /// Where it is the record's, that comes without.
    #[n(2)]
    #[cbor(default)]
    pub chains: ChainList,
}

impl From<Vec<Item>> for Items {
    fn from(items: Vec<Item>) -> Self {
        Self { items: ItemList(items), chains: ChainList::default() }
    }
}

/// Some of the records that were asked for, as many as fit a chunk, in the order asked; those that
/// are not held any more are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Pulled {
    /// The records.
    #[n(0)]
    pub records: Vec<Blob>,
    /// How many of the items that were asked for have been looked at; ask for the rest again.
    #[n(1)]
    pub done: u16,
}

/// Says that an answer will still come; repeated once in a round trip, every 100 to 600 ms.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Working {}

/// Asks a child that volunteers to become a superpeer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Promote {}

/// Names superpeers to a child that have more room for it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Elsewhere {
    /// Whom to ask to attach instead.
    #[n(0)]
    pub to: Vec<Hint>,
}

/// Tells the parent that a record which it served, or indexed for us, is not to be served.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Reject {
    /// The record's key.
    #[n(0)]
    pub key: Key,
    /// The record's digest.
    #[n(1)]
    pub digest: Digest,
    /// 0 it does not verify, 1 it can't be opened, 2 its owner withdraws it, 3 there is a newer one.
    #[n(2)]
    pub reason: u8,
    /// The newer one.
    #[n(3)]
    pub newer: Option<Blob>,
}

/// A goodbye; the signature lets the receiver pass it on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Leave {
    /// The leaver's wall clock, in seconds.
    #[n(0)]
    pub unix_time: u64,
    /// Its signature over `peer ‖ unix_time`.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub signature: Signature,
}

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<Source>")]
pub struct Refused {
    /// A [`super::Reason`].
    #[n(0)]
    pub reason: u8,
    /// Milliseconds after which asking again makes sense.
    #[n(1)]
    pub retry_after: Option<u32>,
    /// Others who may serve.
    #[n(2)]
    pub candidates: Vec<Hint>,
    /// The record that is newer, for `Stale`.
    #[n(3)]
    pub newer: Option<Blob>,
}
