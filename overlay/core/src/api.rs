//! What goes into an [`Overlay`](crate::Overlay) and what comes out of it.
//!
//! One turn is `handle(now, input) -> Effects`. The driver performs the effects in their order; a
//! durable [`Effect::Persist`] is complete before the later effects of the same list run. Every
//! command is answered exactly once.

mod reply;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use bytes::Bytes;

pub use self::reply::{
    Answer, Asked, Device, Failure, HeldStatus, Neighbour, Parent, Presence, Relation, Reply, Resolution,
    Source, Status, Step, Stored,
};
use crate::certificate::NodeCertificate;
use crate::key::{Digest, Key, PeerId, PublicKey};
use crate::name::Username;
use crate::network::Network;
use crate::record::Entry;
use crate::sign::Signer;
use crate::time::{Instant, Unix};
use crate::wire::{Frame, Hint};

/// Names one link (a stream to a neighbour) for the life of the process; the driver counts them up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names one command until its reply; the driver counts them up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// Where a superpeer listens; QUIC (UDP) and TCP are both there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Version 4 or 6.
    pub ip: IpAddr,
    /// The one port for UDP and TCP.
    pub port: u16,
}

/// Which transport to dial first; the other one follows when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Between superpeers.
    Quic,
    /// From a child to its parent: a killed process is noticed within a millisecond.
    Tcp,
}

/// Whether a peer acts as superpeer or child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Member of the overlay at the place that the certificate gives it.
    Superpeer(NodeCertificate),
    /// Attached to one parent.
    Child,
}

/// All that an overlay is built from.
pub struct Config {
    /// The network's fixed facts and parameters.
    pub network: Network,
    /// Signs with the node key; its public half is this peer's [`PeerId`].
    pub node: Box<dyn Signer>,
    /// Seeds every random choice.
    pub seed: [u8; 32],
    /// The role at the start; [`Command::Act`] changes it.
    pub role: Role,
    /// Software name and version, as told to neighbours (at most 64 bytes).
    pub agent: String,
    /// Where others can dial us. Ours to advertise in hints while we are a superpeer.
    pub addresses: Vec<Address>,
    /// Binary multiaddrs that go into our device records; opaque here.
    pub multiaddrs: Vec<Bytes>,
    /// A login server: accepts children only while fewer than three other superpeers are known.
    pub reluctant: bool,
    /// How many storers a look-up asks at once.
    pub parallelism: Parallelism,
    /// How often neighbours are told that we are there.
    pub hellos: Hellos,
    /// Children that we take as a superpeer; usually
    /// [`CHILDREN_MAX`](crate::limits::CHILDREN_MAX).
    pub children_max: usize,
    /// Whether a superpeer tells everybody how many children it has (a number, and no names).
    pub tells_children: bool,
    /// What the last run left on disk.
    pub restored: Restored,
}

/// How a look-up's requests are spread in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parallelism {
    /// One request first; a further one whenever the expected round trip has passed without an
    /// answer, up to α in flight.
    #[default]
    Hedged,
    /// α requests at once.
    AtOnce,
}

/// How often a quiet link carries a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hellos {
    /// Every 10 s at first, between a parent and its child every two minutes when it is old.
    #[default]
    Stretching,
    /// Every 10 s.
    Classic,
}

/// What was persisted by an earlier run.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Stored records (values of [`Write::Record`]), in any order. Expired ones are dropped.
    pub records: Vec<Bytes>,
    /// Sequence numbers of own records, as of the last [`Write::Sequence`] per slot.
    pub sequences: Vec<(Key, PublicKey, u64)>,
    /// The host cache: values of [`Write::Contact`].
    pub contacts: Vec<Bytes>,
    /// The last [`Write::Anchors`]: superpeers that worked, to be dialled first.
    pub anchors: Vec<PeerId>,
    /// Pairs of records with one version and two bodies (values of [`Write::Proof`]), in any order.
    pub proofs: Vec<(Bytes, Bytes)>,
    /// Since when superpeers of the host cache have worked, as of the last [`Write::Met`] of each.
    pub met: Vec<(PeerId, Unix)>,
    /// The newest records that were seen of names looked up (values of [`Write::Newest`]), in any order.
    pub newest: Vec<Bytes>,
}

/// How carefully a name is to be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct How {
    /// Pass over caches on the way.
    pub fresh: bool,
    /// Wait until β storers agree (or all have answered).
    pub cross_check: bool,
    /// Tell every step ([`Resolution::trace`]).
    pub trace: bool,
}

/// What happened, or what the user wants.
#[derive(Debug)]
pub enum Input {
    /// A local request; answered by exactly one [`Effect::Reply`].
    Command(CommandId, Command),
    /// A stream to `peer` is open (not yet greeted); `dialled` when we opened it.
    Connected {
        /// The new link.
        link: LinkId,
        /// The authenticated other end.
        peer: PeerId,
        /// True if this side dialled.
        dialled: bool,
    },
    /// A frame arrived. Frames that cannot be read end the link instead.
    Received {
        /// Where it came from.
        link: LinkId,
        /// What it said.
        frame: Frame,
    },
    /// A link ended, for whatever reason.
    Disconnected {
        /// The link that is gone.
        link: LinkId,
    },
    /// No address of `peer` could be reached, or the stream was refused.
    DialFailed {
        /// Whom [`Effect::Dial`] named.
        peer: PeerId,
        /// What became of it.
        end: DialEnd,
    },
    /// The instant of `next_deadline` has come (or nothing in particular).
    Tick,
}

/// How a dial failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialEnd {
    /// The host answers, and nobody listens there: the process is dead.
    Refused,
    /// Nothing came, or not what it should be: the way there may be cut.
    Silent,
}

/// A local request.
#[derive(Debug)]
pub enum Command {
    /// Learn of these superpeers (from a login server or a file). → [`Reply::Done`]
    Seeds(Vec<Hint>),
    /// Change role. → [`Reply::Done`]
    Act(Role),
    /// Whether we would be a superpeer if one more is needed ([`Notice::SuperpeerNeeded`]), and a child again if
    /// there are too many ([`Notice::SteppedDown`]); at the start we would not. → [`Reply::Done`]
    Volunteer(bool),
    /// Addresses changed. → [`Reply::Done`]
    Addresses {
        /// As [`Config::addresses`].
        addresses: Vec<Address>,
        /// As [`Config::multiaddrs`].
        multiaddrs: Vec<Bytes>,
    },
    /// Hold a name: sign its record and publish it now, and again whenever needed, until
    /// [`Command::Release`]. A second `Register` for the same name replaces certificate and content.
    /// → [`Reply::Registered`] once a majority has stored it, or [`Reply::Failed`]; it goes on
    /// trying after a failure.
    Register(Box<Held>),
    /// Stop holding a name; its record stays where it is until it expires. → [`Reply::Done`]
    Release(Key),
    /// Turn a name into its devices. → [`Reply::Resolved`] or [`Reply::Failed`]
    Resolve {
        /// Whom.
        username: Username,
        /// How carefully.
        how: How,
    },
    /// Turn a name into its devices, and tell every change of them by [`Effect::Changed`], the first
    /// time with what there is now. → [`Reply::Done`] once it ends by [`Command::Unwatch`] or because
    /// we leave.
    Watch(Username),
    /// End the watch that this command began. → [`Reply::Done`]
    Unwatch(CommandId),
    /// Whether a device is there, as its parent says. → [`Reply::Presence`]
    Presence {
        /// The device's primary parent, from its record.
        parent: PeerId,
        /// The device's peer, from its record.
        peer: PeerId,
    },
    /// Store a record that was signed elsewhere (the login server's `epoch`). → [`Reply::Stored`]
    Put(Bytes),
    /// → [`Reply::Status`]
    Status,
    /// → [`Reply::Peers`]
    Peers,
    /// Superpeers seen alive within the time, at most that many, ourselves last. → [`Reply::Seeds`]
    Sample {
        /// At most so many.
        count: usize,
        /// Heard from within this time.
        within: Duration,
    },
    /// Say goodbye to every neighbour; the driver stops after the reply. → [`Reply::Done`]
    Leave,
}

/// A name that this peer holds: what is needed to publish its device record.
#[derive(Debug)]
pub struct Held {
    /// The name.
    pub username: Username,
    /// Signs with the device key.
    pub device: Box<dyn Signer>,
    /// Login certificate, then device certificate, as they travel.
    pub chain: Vec<Bytes>,
    /// Free-form display name, already prepared (RFC 8266); at most 64 bytes.
    pub display: String,
    /// Typed entries to publish.
    pub entries: Vec<Entry>,
    /// How long a cache may keep the record.
    pub ttl: Duration,
}

/// What the driver has to do, in this order.
#[derive(Debug, Default)]
#[must_use = "effects are the only thing that a turn does to the world"]
pub struct Effects(pub Vec<Effect>);

/// One thing to do.
#[derive(Debug)]
pub enum Effect {
    /// Open a stream to `peer`. Ends in [`Input::Connected`] or [`Input::DialFailed`].
    Dial {
        /// Whom; the transport authenticates it.
        peer: PeerId,
        /// Where; not empty.
        addresses: Vec<Address>,
        /// By which transports, one after the other.
        transports: &'static [Transport],
    },
    /// Queue a frame on a link. A full queue drops the link.
    Send {
        /// On which link.
        link: LinkId,
        /// What to say.
        frame: Frame,
    },
    /// End a link and its connection after what was queued has been sent.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Write to disk; when `durable`, later effects of this list wait until it is on disk.
    Persist {
        /// In this order.
        writes: Vec<Write>,
        /// Whether later effects wait.
        durable: bool,
    },
    /// The one answer to a command.
    Reply {
        /// Which command.
        command: CommandId,
        /// Its answer.
        reply: Reply,
    },
    /// What a watched name has become.
    Changed {
        /// The command that watches.
        command: CommandId,
        /// As the reply to [`Command::Resolve`] would be.
        outcome: Result<Resolution, Failure>,
    },
    /// A peer came, is there or went: for who measures how long peers stay. Only superpeers see that.
    Seen {
        /// Who.
        peer: PeerId,
        /// What of it.
        seen: Seen,
    },
    /// Something an operator or a waiting program wants to know.
    Notice(Notice),
}

/// What a superpeer sees of a peer's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is there: attached to us (also at every renewal), or a superpeer that told us so itself.
    There(Kin),
    /// It said goodbye.
    Left,
    /// Its link ended and its attachment with it, or nobody answers at its address. Nothing, if it is not
    /// what we take it for any more.
    Lost {
        /// What we took it for.
        kin: Kin,
        /// When something came from it last, be it its machine's word that a connection has ended.
        heard: Instant,
    },
    /// It told us that another superpeer is its parent: we are to stand by.
    Moved,
    /// Another peer has its device key now.
    Replaced,
    /// We left it, because too much that it said did not verify.
    Banned,
    /// We are a superpeer no more, and see nobody from now on; the peer is ourselves.
    Blind,
}

/// What a peer is to a superpeer that sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kin {
    /// Attached to us.
    Child,
    /// A superpeer too.
    Superpeer,
}

/// One change of the store on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Keep (or replace) the record in its slot: key, kind and writer name it.
    Record {
        /// Where it belongs.
        slot: Slot,
        /// The whole record as it travels.
        bytes: Bytes,
    },
    /// Forget the record of a slot.
    Forget(Slot),
    /// The sequence number of an own record; never goes down.
    Sequence {
        /// The name's key.
        key: Key,
        /// The device key.
        device: PublicKey,
        /// The number about to be used.
        seq: u64,
    },
    /// A superpeer for the host cache: an encoded [`Hint`].
    Contact {
        /// Whose.
        peer: PeerId,
        /// The encoded hint.
        bytes: Bytes,
    },
    /// Since when a superpeer of the host cache has worked for us without failing us; nothing, if it has
    /// failed us.
    Met {
        /// Which one.
        peer: PeerId,
        /// The first link since then.
        since: Option<Unix>,
    },
    /// Drop a superpeer from the host cache, and since when it has worked.
    ForgetContact(PeerId),
    /// The superpeers that worked last, at most [`ANCHORS`](crate::limits::ANCHORS); replaces the former.
    Anchors(Vec<PeerId>),
    /// The newest record that was seen in a slot, not to be taken back behind it; not stored for others.
    Newest {
        /// Where it belongs.
        slot: Slot,
        /// The whole record as it travels.
        bytes: Bytes,
    },
    /// Forget what was seen in a slot.
    ForgetNewest(Slot),
    /// Two records with one version and two bodies, both signed by their writer.
    Proof {
        /// Names the pair.
        pair: Digest,
        /// The record that was held.
        held: Bytes,
        /// The one that came.
        other: Bytes,
    },
    /// Forget a pair.
    ForgetProof(Digest),
}

/// What identifies a record among those of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The record's key.
    pub key: Key,
    /// The record's kind as on the wire.
    pub kind: u8,
    /// The device key; zeroes for records that the login key writes.
    pub writer: PublicKey,
}

/// Something worth a log line, or worth waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A parent accepted us.
    Attached(PeerId),
    /// The parent is gone; looking for another.
    Detached(PeerId),
    /// We act as a superpeer now.
    Joined(Key),
    /// A held name is acknowledged by a majority.
    Registered {
        /// Which name.
        username: Username,
        /// By how many.
        stored: Stored,
    },
    /// Publishing a held name failed for good: its certificate was revoked or refused.
    Rejected {
        /// Which name.
        username: Username,
        /// Why.
        reason: String,
    },
    /// The clock differs from the neighbours' by more than the tolerance: read-only until mended.
    Skewed {
        /// Ours minus theirs, in seconds.
        seconds: i64,
    },
    /// Two records with the same version and different bodies were seen.
    Equivocation(Slot),
    /// Our node certificate no longer counts; we act as a child.
    CertificateExpired,
    /// We volunteer, and one more superpeer is needed: time for a certificate and [`Command::Act`].
    SuperpeerNeeded,
    /// There were superpeers enough: we act as a child.
    SteppedDown,
}
