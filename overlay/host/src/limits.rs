//! Every bound of the driver.

use std::time::Duration;

use callbook_net::limits::LINGER;
use callbook_overlay::limits::LEAVE_WITHIN;

/// Local requests that wait for the driver; who asks more waits.
///
/// Guess.
pub(crate) const LOCAL_MAX: usize = 256;

/// Inputs that are handled in one go before other tasks get the thread.
///
/// Guess: at a few microseconds each, others wait less than a millisecond.
pub(crate) const BATCH: usize = 64;

/// After so many batches in a row the swarm is asked once, however many frames wait.
///
/// Guess: a few milliseconds under full load.
pub(crate) const BATCHES_PER_SWARM_POLL: u32 = 8;

/// Swarm events that are handled in one go.
///
/// Guess.
pub(crate) const SWARM_EVENTS: usize = 32;

/// Size of a login request and of its answer. Specification: the login crate's messages; OPAQUE's
/// largest is 320 bytes, seeds some kilobytes.
pub(crate) const LOGIN_BYTES_MAX: u64 = 64 * 1024;

/// Login requests that wait for the login service; one more is refused.
///
/// Guess.
pub(crate) const LOGIN_CALLS_MAX: usize = 64;

/// How long a login request may take, both ways.
///
/// Guess: a server that stretches nothing answers in milliseconds; a queue in front of it may not.
pub(crate) const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);

/// How long an address has to answer a dial, from the first packet to the multiplexer.
///
/// Guess: longer than the slowest handshake, three round trips of a second and a packet lost.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a transport has to answer before the next one is tried beside it.
///
/// Guess: a look-up waits for three seconds.
pub(crate) const STAGGER: Duration = Duration::from_secs(1);

/// A connection without a link is closed when it was not used for so long.
///
/// Guess: between two steps of a login a person may read a prompt; QUIC closes nothing by itself.
pub(crate) const UNLINKED_IDLE: Duration = Duration::from_secs(10);

/// How often connections without a link, and links that close, are looked at.
///
/// Guess.
pub(crate) const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// A link that was told to close is cut after this.
///
/// Guess: a second for a peer that does not read, and the link's own [`LINGER`].
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1).saturating_add(LINGER);

/// How long the overlay may take to say goodbye.
///
/// Guess: more than it allows itself for pushing what it holds.
pub(crate) const LEAVE_TIMEOUT: Duration = LEAVE_WITHIN.saturating_add(Duration::from_secs(2));

/// How long a QUIC connection lives without a packet. Specification: DETAILS *Links*.
pub(crate) const QUIC_IDLE: Duration = Duration::from_secs(30);

/// How often an idle QUIC connection shows that it lives. Specification: DETAILS *Links*.
pub(crate) const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long a TCP connection lives without any stream.
///
/// Guess: longer than [`UNLINKED_IDLE`], so that one rule decides for both transports.
pub(crate) const SWARM_IDLE: Duration = Duration::from_secs(30);

/// Streams on one connection: one of the overlay, some of identify and login. More would end it.
///
/// Guess.
pub(crate) const STREAMS_MAX: usize = 64;

/// Login requests on one connection at once.
///
/// Guess: below [`STREAMS_MAX`].
pub(crate) const LOGIN_STREAMS_MAX: usize = 16;

/// Dials under way.
///
/// Guess: a newcomer dials every superpeer of a bench's network at once.
pub(crate) const DIALS_MAX: u32 = 512;

/// Inbound connections that have not finished their handshake.
///
/// Guess.
pub(crate) const HANDSHAKES_MAX: u32 = 512;

/// Connections that others opened.
///
/// Guess: some times `children_max` and the superpeers that keep a stream open.
pub(crate) const INBOUND_CONNECTIONS_MAX: u32 = 8_192;

/// Connections with one peer: one each way after a cross-dial, twice while one is replaced.
///
/// Guess.
pub(crate) const CONNECTIONS_PER_PEER_MAX: u32 = 4;

/// Share of the machine's memory above which no connection is taken or opened.
///
/// Guess.
pub(crate) const MEMORY_SHARE_MAX: f64 = 0.9;

/// Memory that the store's pages may take.
///
/// Guess: redb's own default is a gigabyte.
pub(crate) const STORE_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// How long a write may wait for others to join its commit. Specification: DESIGN §3.
pub(crate) const GROUP_COMMIT: Duration = Duration::from_millis(200);

/// Pause after a commit that failed.
///
/// Guess.
pub(crate) const COMMIT_RETRY: Duration = Duration::from_secs(1);

/// Ports that are tried when any will do.
///
/// Guess: one free for TCP is nearly always free for UDP.
pub(crate) const PORT_ATTEMPTS: usize = 32;

/// Notices that a slow listener may be behind before it misses some.
///
/// Guess.
pub(crate) const NOTICES_MAX: usize = 256;

/// Peers whose sessions are remembered; those gone longest are forgotten first.
///
/// Guess: all children that a superpeer may have, many times over; two megabytes.
pub(crate) const SESSIONS_KNOWN_MAX: usize = 14_336;

/// Bounds of the lengths of sessions and downtimes, unless they are set. In seconds: 1, 5, 15, 30 minutes,
/// 1, 2, 3, 6, 12 hours, 1, 2, 7 days.
///
/// Source: the list, around ProbeLab's published quantiles.
pub(crate) const SESSION_BOUNDS: [u64; 12] =
    [60, 300, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];

/// How many bounds may be set: each makes ten series more.
///
/// Guess.
pub(crate) const SESSION_BOUNDS_MAX: usize = 24;
