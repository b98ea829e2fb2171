//! What peers say to each other: frames, message kinds and their codec.
//!
//! A frame is `[id, kind, body]` in CBOR (RFC 8949) with integer keys; the transport puts a length of
//! four bytes before it. `id` is chosen by the asker, per direction. Kinds 1–127 ask, kind + 128
//! answers, 255 refuses. An unknown kind keeps its id, so that it can be answered `Unsupported`.
//!
//! *Not here*: what a message means, and anything that needs a key or a clock.

mod brief;
mod hint;
mod items;
mod known;
mod message;

use alloc::vec::Vec;

use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

pub use self::brief::{Brief, Briefs};
pub use self::hint::{Hint, Placed};
pub use self::items::{ChainList, Item, ItemList};
pub(crate) use self::known::beginning;
pub use self::known::{Known, Mark, Marks, Parts};
pub use self::message::{
    Acknowledgement, Attach, Attached, Changed, Closest, Compare, Digests, Elsewhere, Get, Got, Hello, Hints,
    Items, Leave, Named, Open, PresenceAsk, PresenceTold, Promote, Pulled, Put, PutDone, PutResult, Range,
    Refused, Register, Registered, Reject, Resolve, Resolved, Statement, Survey, Surveyed, TraceStep,
    Voucher, Watch, Who, Working,
};
pub use crate::limits::FRAME_BYTES_MAX;

use crate::cbor::Source;
use crate::key::PeerId;

/// Protocol versions that this code speaks.
pub const PROTOCOL: u32 = 1;

/// Feature bit in [`Open`]: [`Open::children`] tells how many children the sender has. (specification)
pub const TELLS_CHILDREN: u64 = 1;

/// Bit of [`Resolve::flags`]: pass over caches.
pub const FLAG_FRESH: u8 = 1;

/// Bit of [`Resolve::flags`]: wait until β storers agree.
pub const FLAG_CROSS_CHECK: u8 = 2;

/// Bit of [`Resolve::flags`]: tell every step.
pub const FLAG_TRACE: u8 = 4;

const ANSWER: u16 = 128;
const REFUSED: u16 = 255;

/// Why a frame could not be read: the peer's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Longer than [`FRAME_BYTES_MAX`].
    #[error("a frame of {0} bytes is over the limit")]
    TooLarge(usize),
    /// Not `[id, kind, body]`, or a body that does not fit its kind.
    #[error("not a frame: {0}")]
    Form(alloc::string::String),
    /// Something follows the frame.
    #[error("bytes follow the end")]
    Trailing,
}

impl From<decode::Error> for WireError {
    fn from(error: decode::Error) -> Self {
        Self::Form(alloc::format!("{error}"))
    }
}

/// One message with the id that ties an answer to its question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Chosen by the asker, repeated in the answer; 0 where no answer comes.
    pub id: u64,
    /// What is said.
    pub message: Message,
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident($body:ty) = $kind:expr,)*) => {
        /// All that can be said.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Message {
            $($(#[$doc])* $name($body),)*
            /// A kind that this version doesn't know.
            Unknown {
                /// The kind as it came.
                kind: u16,
            },
        }

        impl Message {
            /// The number on the wire.
            #[must_use]
            pub const fn kind(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $kind,)*
                    Self::Unknown { kind } => *kind,
                }
            }

            fn read(kind: u16, d: &mut Decoder<'_>, source: &mut Source) -> Result<Self, decode::Error> {
                Ok(match kind {
                    $(kind if kind == $kind => Self::$name(d.decode_with(source)?),)*
                    kind => {
                        d.skip()?;
                        Self::Unknown { kind }
                    }
                })
            }

            fn write<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
                let mut source = Source(Bytes::new());
                match self {
                    $(Self::$name(body) => e.encode_with(body, &mut source)?.ok(),)*
                    Self::Unknown { .. } => e.map(0)?.ok(),
                }
            }
        }
    };
}

messages! {
    /// First frame of both sides; no answer.
    Open(Open) = 1,
    /// Keep-alive; answered by [`Message::HelloBack`].
    Hello(Hello) = 2,
    /// Answered by [`Message::Hints`].
    Closest(Closest) = 3,
    /// Answered by [`Message::Got`].
    Get(Get) = 4,
    /// Answered by [`Message::PutDone`].
    Put(Put) = 5,
    /// Answered by [`Message::Attached`].
    Attach(Attach) = 6,
    /// Answered by [`Message::Registered`].
    Register(Register) = 7,
    /// Answered by [`Message::Resolved`].
    Resolve(Resolve) = 8,
    /// No answer.
    Reject(Reject) = 9,
    /// No answer.
    Leave(Leave) = 10,
    /// Asks for a place to fall back to; answered by [`Message::Reserved`].
    Reserve(Attach) = 11,
    /// Answered by [`Message::Changed`], now and whenever something changes.
    Watch(Watch) = 12,
    /// Answered by [`Message::PresenceTold`].
    Presence(PresenceAsk) = 13,
    /// Answered by [`Message::Digests`].
    Digest(Compare) = 14,
    /// Answered by [`Message::Pulled`].
    Pull(Items) = 15,
    /// Answered by [`Message::Wanted`].
    Offer(Items) = 16,
    /// No answer; keeps its request's id.
    Working(Working) = 17,
    /// No answer; from a parent to its child.
    Promote(Promote) = 18,
    /// No answer; from a parent to its child.
    Elsewhere(Elsewhere) = 19,
    /// Answered by [`Message::Named`].
    Who(Who) = 20,
    /// Answered by [`Message::Surveyed`].
    Survey(Survey) = 21,
    /// Answers a hello.
    HelloBack(Hello) = 2 + ANSWER,
    /// Answers closest.
    Hints(Hints) = 3 + ANSWER,
    /// Answers get.
    Got(Got) = 4 + ANSWER,
    /// Answers put.
    PutDone(PutDone) = 5 + ANSWER,
    /// Answers attach.
    Attached(Attached) = 6 + ANSWER,
    /// Answers register.
    Registered(Registered) = 7 + ANSWER,
    /// Answers resolve.
    Resolved(Resolved) = 8 + ANSWER,
    /// Answers reserve.
    Reserved(Attached) = 11 + ANSWER,
    /// Answers watch; comes again with id 0 at every change.
    Changed(Changed) = 12 + ANSWER,
    /// Answers presence.
    PresenceTold(PresenceTold) = 13 + ANSWER,
    /// Answers digest.
    Digests(Digests) = 14 + ANSWER,
    /// Answers pull.
    Pulled(Pulled) = 15 + ANSWER,
    /// Answers offer: which of the items are wanted.
    Wanted(Items) = 16 + ANSWER,
    /// Answers who.
    Named(Named) = 20 + ANSWER,
    /// Answers survey.
    Surveyed(Surveyed) = 21 + ANSWER,
    /// Answers anything.
    Refused(Refused) = REFUSED,
}

impl Message {
    /// Whether this answers a request of ours.
    #[must_use]
    pub const fn answers(&self) -> bool {
        self.kind() > ANSWER
    }
}

impl Frame {
    /// Reads a frame; byte strings in it share its memory.
    ///
    /// # Errors
    /// The peer's fault: too long, not `[id, kind, body]`, a body that does not fit a known kind, or
    /// something behind it.
    pub fn read(bytes: Bytes) -> Result<Self, WireError> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(WireError::TooLarge(bytes.len()));
        }
        let mut source = Source(bytes.clone());
        let mut decoder = Decoder::new(&bytes);
        if decoder.array()? != Some(3) {
            return Err(decode::Error::message("a frame is [id, kind, body]").into());
        }
        let (id, kind) = (decoder.u64()?, decoder.u16()?);
        let message = Message::read(kind, &mut decoder, &mut source)?;
        if decoder.position() == bytes.len() { Ok(Self { id, message }) } else { Err(WireError::Trailing) }
    }

    /// Appends the frame to `out`, without a length.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(out);
        infallible(encoder.array(3).and_then(|e| e.u64(self.id)).and_then(|e| e.u16(self.message.kind())));
        infallible(self.message.write(&mut encoder));
    }
}

/// Why a peer did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// At its limit of children or requests.
    Busy,
    /// It does not know the request, the record kind or the role that it would need.
    Unsupported,
    /// A quota is used up.
    Limit,
    /// The request or the record is not valid.
    Invalid,
    /// It has not finished taking over a range.
    Syncing,
    /// It holds a newer record.
    Stale,
    /// It does not hold the chain of a record that came without.
    Chain,
    /// A number from a later version.
    Other(u8),
}

impl Reason {
    /// The number on the wire.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Busy => 1,
            Self::Unsupported => 2,
            Self::Limit => 3,
            Self::Invalid => 4,
            Self::Syncing => 5,
            Self::Stale => 6,
            Self::Chain => 7,
            Self::Other(number) => number,
        }
    }

    /// Reads the number on the wire.
    #[must_use]
    pub const fn from_wire(number: u8) -> Self {
        match number {
            1 => Self::Busy,
            2 => Self::Unsupported,
            3 => Self::Limit,
            4 => Self::Invalid,
            5 => Self::Syncing,
            6 => Self::Stale,
            7 => Self::Chain,
            number => Self::Other(number),
        }
    }

    /// What a person reads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Unsupported => "unsupported",
            Self::Limit => "at a limit",
            Self::Invalid => "invalid",
            Self::Syncing => "still taking over its range",
            Self::Stale => "it holds a newer record",
            Self::Chain => "it lacks the record's certificates",
            Self::Other(_) => "for a reason that this version doesn't know",
        }
    }
}

/// What both sides of an attachment sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AttachmentBody {
    /// Who serves.
    #[n(0)]
    pub parent: PeerId,
    /// Who is served.
    #[n(1)]
    pub child: PeerId,
    /// The child's wall clock at the start, in seconds.
    #[n(2)]
    pub from: u64,
    /// How long it holds from receipt, in seconds.
    #[n(3)]
    pub secs: u32,
}

impl AttachmentBody {
    /// The body as it is signed and travels.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(88);
        infallible(Encoder::new(&mut bytes).encode(self));
        bytes.into()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// The peer's fault: not an attachment.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        Ok(minicbor::decode(bytes)?)
    }
}

/// What a parent signs about a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PresenceBody {
    /// Which child.
    #[n(0)]
    pub child: PeerId,
    /// Whether it is there; else it said goodbye.
    #[n(1)]
    pub online: bool,
    /// Online: seconds since it was last heard. Else the wall clock of its goodbye, in seconds.
    #[n(2)]
    pub secs: u64,
    /// The parent's wall clock, in seconds.
    #[n(3)]
    pub unix_time: u64,
}

impl PresenceBody {
    /// The body as it is signed and travels.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(64);
        infallible(Encoder::new(&mut bytes).encode(self));
        bytes.into()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// The peer's fault: not such a body.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        Ok(minicbor::decode(bytes)?)
    }
}

/// Unwraps an encoding into memory, which can't fail.
fn infallible<T>(result: Result<T, encode::Error<core::convert::Infallible>>) {
    assert!(result.is_ok(), "our own messages always encode");
}
