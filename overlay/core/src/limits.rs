//! Every bound of the protocol, in one place.
//!
//! At a bound the code refuses or evicts by a stated rule, and counts it. Each constant says where it
//! is from: *paper*, *specification* (DESIGN or DETAILS), *measured* or *guess*. *Not here*: what the
//! network file sets (k, r, α, β, d), which is [`Parameters`](crate::network::Parameters).

mod children;
mod lookups;
mod moving;

use core::time::Duration;

pub use self::children::*;
pub use self::lookups::*;
pub use self::moving::*;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

// ---- Records ----------------------------------------------------------------------------------

/// Size of a record with its chain. Specification: DESIGN §3.
pub const RECORD_BYTES_MAX: usize = 1_200;

/// Device records under one name. Specification: DESIGN §3.
pub const DEVICES_PER_NAME_MAX: usize = 8;

/// Certificates in a chain. Specification: DESIGN §3.
pub const CHAIN_MAX: usize = 4;

/// Life of a `device` record: 72 h, plus the 12 h between signings. Specification: DESIGN §3.
pub const DEVICE_LIFE_MAX: Duration = Duration::from_secs(84 * HOUR);

/// Life of an `epoch` record, longer than any device certificate. Specification: DESIGN §3.
pub const EPOCH_LIFE: Duration = Duration::from_secs(8 * DAY);

/// How long a cache may keep a record unless its writer says otherwise. Specification: DESIGN §3.
pub const TTL_DEFAULT: Duration = Duration::from_secs(60);

/// A shorter ttl counts as this. Specification: DESIGN §3.
pub const TTL_MIN: Duration = Duration::from_secs(30);

/// A longer ttl counts as this. Specification: DESIGN §3.
pub const TTL_MAX: Duration = Duration::from_secs(HOUR);

/// How far clocks may differ where something signed begins or ends. Specification: DESIGN §4.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(10 * 60);

/// Multiaddrs in a device record. Guess: two transports × two versions × (local and global).
pub const ADDRESSES_PER_RECORD_MAX: usize = 8;

/// Size of one multiaddr in a device record. Guess: a QUIC address with PeerId takes 50.
pub const ADDRESS_BYTES_MAX: usize = 128;

/// Typed entries in a device record. Guess; [`RECORD_BYTES_MAX`] bounds their total.
pub const ENTRIES_PER_RECORD_MAX: usize = 16;

/// Size of an entry's service. Specification: RFC 6763 §7.2 needs `_` + 15 + `._tcp`; a label is ≤ 63.
pub const SERVICE_BYTES_MAX: usize = 63;

/// Size of an SRV entry's target. Specification: RFC 1035 §2.3.4, as text.
pub const TARGET_BYTES_MAX: usize = 253;

/// Size of a TXT entry. Specification: RFC 1035 §3.3, one character string.
pub const TXT_BYTES_MAX: usize = 255;

/// Size of a display name. Specification: the boundary promises 64.
pub const DISPLAY_BYTES_MAX: usize = 64;

/// Serials that an `epoch` record revokes one by one; more need a raised epoch. Guess: 64 serials of
/// 9 bytes leave the record under [`RECORD_BYTES_MAX`], and serials are pruned after 7 days.
pub const REVOKED_SERIALS_MAX: usize = 64;

// ---- Certificates -----------------------------------------------------------------------------

/// Life of a device certificate. Specification: DESIGN §3.
pub const DEVICE_LIFE: Duration = Duration::from_secs(7 * DAY);

/// Life of a node certificate. Specification: DESIGN §2.
pub const NODE_LIFE: Duration = Duration::from_secs(7 * DAY);

/// Life of a login key's certificate. Specification: DESIGN §3.
pub const LOGIN_LIFE: Duration = Duration::from_secs(90 * DAY);

/// A certificate with less than this left is renewed. Specification: DESIGN §3.
pub const RENEW_BELOW: Duration = Duration::from_secs(6 * DAY);

/// Size of one certificate. Guess: the largest kind takes 178.
pub const CERTIFICATE_BYTES_MAX: usize = 256;

/// Keys that are remembered as read for checking signatures; when there are more all are forgotten.
/// Guess: as many as sign in a minute of much traffic, about 250 kB when full.
pub const KEYS_REMEMBERED_MAX: usize = 1_024;

/// Verified device chains that are remembered; the half that was used least recently goes first.
/// Guess: as many as the map holds superpeers, about 2 MB when full.
pub const CHAINS_CACHED_MAX: usize = 16_384;

/// Verified login certificates that are remembered; the one that ends first goes first. Guess: a
/// network has one or two login keys, each renewed a few times a year.
pub const LOGINS_CACHED_MAX: usize = 16;

// ---- CBOR -------------------------------------------------------------------------------------

/// Nesting of arrays and maps in signed bytes. Guess: records need 3.
pub const CBOR_DEPTH_MAX: usize = 8;

// ---- Wire ------------------------------------------------------------------------------------------

/// Longest frame. *Specification* (DESIGN §6).
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Longest encoded hint: certificate, one v4 and one v6 address, with room for later fields. *Guess*;
/// DESIGN §4 asks for 160 bytes with the addresses that are usual.
pub const HINT_BYTES_MAX: usize = 192;

/// Addresses in a hint: one v4, one v6. *Specification* (DESIGN §4).
pub const HINT_ADDRESSES_MAX: usize = 2;

/// Longest agent string that is kept; the rest is cut. *Guess*.
pub const AGENT_BYTES_MAX: usize = 64;

// ---- Overlay ---------------------------------------------------------------------------------------

/// Superpeers in the map. *Specification* (DESIGN §4).
pub const MAP_MAX: usize = 16_384;

/// Closest superpeers to which a stream is kept. *Specification* (DESIGN §4).
pub const NEAR: usize = 20;

/// Further superpeers to which a stream is kept. *Specification* (DESIGN §4).
pub const WARM: usize = 128;

/// So many of them a superpeer opens itself when it joins, and one more in [`WARM_DIAL_EVERY`]; the others are for those
/// who open theirs to it. *Guess*: most that join are gone before they have used half of a hundred streams.
pub const WARM_AT_ONCE: usize = 16;

/// See [`WARM_AT_ONCE`]. *Guess*: all after two hours where nobody comes.
pub const WARM_DIAL_EVERY: Duration = Duration::from_secs(60);

/// Dials under way for upkeep at once. *Guess*: keeps a joining superpeer from a burst.
pub const UPKEEP_DIALS: usize = 16;

/// How often a superpeer looks for missing streams and new superpeers. *Guess*.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Who comes to be known where more superpeers are known than have streams is chosen from after this, with others that
/// came meanwhile. *Guess*: choosing walks over all of them.
pub const UPKEEP_PAUSE: Duration = Duration::from_millis(100);

/// How often a superpeer looks itself up for neighbours that it doesn't know. *Guess*.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// How long a superpeer waits with that when others are back, for more of them. *Guess*.
pub const REFRESH_SOON: Duration = Duration::from_secs(1);

/// How often it does so at the most when it has been there for long: each time α and one more are asked. *Guess*.
pub const SEEK_INTERVAL_MAX: Duration = Duration::from_secs(600);

/// Until then a superpeer looks itself up after its age divided by this. *Guess*: ten minutes after forty.
pub const SEEK_STRETCH: u32 = 4;

/// How long a hint can't bring back a superpeer that failed us. *Guess*.
pub const GONE_FOR: Duration = Duration::from_secs(30);

/// How long a superpeer that failed us is remembered, to be tried again. *Specification* (DESIGN §4).
pub const GONE_REMEMBERED: Duration = Duration::from_secs(24 * 3_600);

/// How long superpeers that failed us count as a sign that we are cut off. *Guess*.
pub const CUT_OFF_FOR: Duration = Duration::from_secs(600);

/// Those that fail us because we are cut off do so within this. *Guess*: as long as silence between neighbours is no
/// death ([`HELLO_NEAR_MAX`]).
pub const CUT_OFF_WITHIN: Duration = Duration::from_secs(120);

/// Who is named to us and refused may be about to start for so long: seeds that begin together. *Guess*: a machine's
/// start.
pub const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// Who went with fewer than one of so many of those that are known, within [`CUT_OFF_WITHIN`] before and after, went by
/// itself: if it is there again it has started again. *Guess*: half of them are beyond a cut; in row A, where half of all
/// go within an hour, one of fifteen goes within four minutes.
pub const WENT_ALONE_SHARE: usize = 8;

/// One that only one neighbour says is back is asked for its own word after this. *Guess*: in it another one says so, as
/// a rule.
pub const RETURN_WAIT: Duration = Duration::from_secs(60);

/// How many neighbours have to say that the network was there before us, where there are so many: one may lie. *Guess*.
pub const VOUCHERS_MIN: usize = 2;

/// And a share of all that have a link with us, or of the [`NEAR`] that ought to: one of so many. *Guess*.
pub const VOUCHERS_SHARE: usize = 3;

/// A superpeer that failed us is not tried again before this. *Guess*.
pub const RETRY_GONE: Duration = Duration::from_secs(1);

/// How often a superpeer redials one that is gone. *Specification* (DESIGN §4).
pub const REDIAL_INTERVAL: Duration = Duration::from_secs(15);

/// Where more superpeers are known each redials as much more seldom. *Guess*: four redials a second, by all together, find
/// another half at once.
pub const REDIAL_SUPERPEERS: usize = 64;

/// And no more seldom than in so many intervals. *Guess*: two minutes.
pub const REDIAL_STRETCH_MAX: u32 = 8;

/// One of so many of those redials tries QUIC, too. *Guess*: of two halves of a network many pairs redial each other.
pub const REDIAL_QUIC_EACH: usize = 8;

/// Superpeers remembered as gone. *Specification* (DESIGN §4, *Merging*).
pub const GONE_MAX: usize = 1_024;

/// Superpeers that worked last, remembered to be dialled first. *Specification* (DESIGN §4).
pub const ANCHORS: usize = 4;

/// Superpeers in the host cache on disk. *Guess*: 200 kB; who starts again and knew a thousand needs no certificate of them.
pub const HOST_CACHE_MAX: usize = 1_024;

/// Of them those that only others have told of; the rest is for those that answered where we dialled them. *Guess*.
pub const HOST_CACHE_HEARSAY: usize = HOST_CACHE_MAX * 3 / 4;

/// Superpeers of the host cache that are in the map from the start, those that have worked for longest first; the others
/// enter it when somebody says that they are there. *Guess*: enough for a parent and standbys, and for a superpeer's
/// neighbours and anchors; half of them may be gone.
pub const RESTORED_MAX: usize = 64;

/// With fewer in the map than this others of the last run are tried. *Guess*: k.
pub const RECALL_BELOW: usize = 20;

/// So many of the host cache are looked at for one to make room: one that is gone, or has not answered where we dialled
/// it. *Guess*: where a tenth are, four in five times there is one.
pub const HOST_CACHE_LOOKED_AT: usize = 16;

/// A request without an answer has failed after this. *Guess*: far above any round trip; hedging does
/// not wait for it.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// A register or resolve through the parent has failed after this: the parent's own look-up or put
/// must fit. *Guess*.
pub const PARENT_TIMEOUT: Duration = Duration::from_secs(8);

/// A name that is to be held and that no parent has registered is told so after this. *Guess*: one parent is waited for
/// and another one tried.
pub const REGISTER_TIMEOUT: Duration = Duration::from_secs(2 * PARENT_TIMEOUT.as_secs());

/// A look-up or put that has not ended after this answers what it has. *Guess*.
pub const WALK_TIMEOUT: Duration = Duration::from_secs(6);

/// A record whose device certificate is so old is put without its chain: as a rule storers hold an older record with
/// the same. *Guess*: a device registers as soon as it is certified.
pub const CHAIN_KNOWN_AFTER: Duration = Duration::from_secs(120);

/// How long a parent that has its majority waits for the one that its child may count. *Guess*: a few round trips;
/// what is under way then hangs.
pub const SETTLES_WITHIN: Duration = Duration::from_secs(1);

/// Storers that are still taking their range over are asked again by a look-up after this, then after twice
/// as long, and so on. *Guess*: some round trips; it takes that long where nothing was missed.
pub const UNREADY_PAUSE: Duration = Duration::from_millis(250);

/// A local look-up is answered after this at the latest. *Guess*: an absence takes the parent's look-up, a dial and
/// the standby's look-up, which is more than ten seconds in one of a hundred of a network that loses a fifth of its
/// packets (*measured*, row L).
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Shortest wait before a hedged request. *Guess*: above the jitter of a loaded event loop.
pub const HEDGE_MIN: Duration = Duration::from_millis(5);

/// Wait before a hedged request to a peer without a measured round trip. *Guess*.
pub const HEDGE_UNMEASURED: Duration = Duration::from_millis(150);

/// Requests in flight; further ones fail at once. *Guess*.
pub const IN_FLIGHT_MAX: usize = 65_536;

/// Requests of one child that are being worked on; at more it is told `Busy`. *Guess*.
pub const SERVING_MAX: usize = 512;

/// Hints taken from one answer. *Specification* (k, DESIGN §2).
pub const HINTS_PER_ANSWER_MAX: usize = 20;

/// Superpeers that a question names as known. *Guess*: those that an answer may name, those beyond them that
/// the other side may count among them, and those that are gone.
pub const KNOWN_MAX: usize = 64;

/// Who is gone is named as known for so long: whoever tells of it has not noticed yet. *Guess*: silence is
/// noticed after [`DEAD_AFTER`].
pub const KNOWN_GONE: Duration = Duration::from_secs(60);

/// Other superpeers that a hello to a child names. *Guess*: as many as it keeps, a parent and two standbys.
pub const HINTS_FOR_CHILDREN: usize = 3;

/// Superpeers that one field names, all in all. *Guess*: half a kilobyte.
pub const BRIEFS_MAX: usize = 64;

/// News in one hello to a superpeer, and those of them that are asked for and answered at once. *Guess*: the answer is as
/// large as one with [`HINTS_PER_ANSWER_MAX`].
pub const NEWS_PER_HELLO_MAX: usize = 20;

/// After so many neighbours know something by us it is over; of news and suspicions those count too that told us. *Guess*:
/// twice as many as an epidemic needs, that tells and is told.
pub const NEWS_TIMES: u8 = 6;

/// Neighbours of which is noted that they know one thing before one more that tells it is not. *Guess*: more than a
/// superpeer keeps streams to; who is not noted may be told what it knows.
pub const TOLD_MAX: usize = 256;

/// After a hello with news no other goes out only for news before this, on who has just come. *Guess*: in a second enough
/// of them go out anyway where there are many neighbours.
pub const GOSSIP_PAUSE: Duration = Duration::from_secs(1);

/// The same, of who has been there for long, for each so many streams to superpeers. *Guess*: nine seconds with all 148; a
/// hello goes out every few seconds anyway then, and takes the news along.
pub const GOSSIP_STREAMS: usize = 16;

/// Between them the pause is our age as a superpeer divided by this. *Guess*: nine seconds after thirteen minutes, of
/// sessions which are then likely to last as long again.
pub const GOSSIP_STRETCH: u32 = 90;

/// A hello tells our clock again after this, if it was not set meanwhile. *Guess*.
pub const CLOCK_TOLD_EVERY: Duration = Duration::from_secs(600);

/// News that wait to be told. *Guess*.
pub const NEWS_MAX: usize = 1_024;

/// Bytes of news a second, to all neighbours together. *Specification* (DESIGN §4).
pub const GOSSIP_BYTES_PER_SEC: u64 = 200;

/// Bytes of news at once after a quiet time. *Guess*: half a minute's.
pub const GOSSIP_BURST_BYTES: u64 = 6_000;

/// Who looks for a name that may be absent asks as many storers as have to deny it, and so many more: some of them may be
/// slow. *Measured*: with one more row L misses its bar.
pub const ASKED_BEYOND: usize = 3;

/// Where more superpeers are known samples are drawn from the same ones for [`SAMPLED_FOR`]. *Guess*.
pub const SAMPLED_FROM: usize = 256;

/// See [`SAMPLED_FROM`]. *Guess*: nothing beside the five minutes in which they were heard.
pub const SAMPLED_FOR: Duration = Duration::from_secs(1);

/// Of so many neighbours that lack something the one hears it that has been quiet for longest: it would be said hello
/// first anyway. *Guess*: chance enough that nobody is forgotten.
pub const TOLD_OF: usize = 8;

/// What there is to tell waits so long for more. *Guess*.
pub const TELL_AFTER: Duration = Duration::from_millis(100);

/// Candidates in one walk. *Guess*: three times k.
pub const CANDIDATES_MAX: usize = 60;

/// Silence after which a hello goes out, on a young link. *Specification* (DESIGN §4).
pub const HELLO_INTERVAL: Duration = Duration::from_secs(10);

/// The same, on an old link. *Guess*: with [`UNANSWERED_FOR`] silence is a death as soon as DESIGN §4 has it (120 s), and
/// what parents and children send each other for that is a third (*measured*, row B).
pub const HELLO_INTERVAL_MAX: Duration = Duration::from_secs(120);

/// The interval between hellos is the link's age divided by this, between its bounds. *Guess*: ten seconds for the first
/// two minutes, two minutes from twenty on.
pub const HELLO_STRETCH: u32 = 10;

/// The same, on an old link between a superpeer and one of its [`NEAR`] closest. *Guess*: twenty of them say hello at
/// different times, so one notices an end after six seconds.
pub const HELLO_NEAR_MAX: Duration = Duration::from_secs(120);

/// Between them the interval is the link's age divided by this. *Guess*: two minutes after eight.
pub const HELLO_STRETCH_NEAR: u32 = 4;

/// Silence after which a hello goes out to any other superpeer, on a young link. *Guess*: four in half an hour.
pub const HELLO_FAR_MIN: Duration = Duration::from_secs(240);

/// The same, on an old link; between them the interval is the link's age. *Guess*: who is close to it notices an end
/// and tells of it; this finds out what they did not.
pub const HELLO_FAR_MAX: Duration = Duration::from_secs(600);

/// The login server's interval is no longer than that: whom it names it has heard within five minutes.
/// *Specification* (DESIGN §7), less a minute.
pub const HELLO_SEEDS_MAX: Duration = Duration::from_secs(240);

/// A hello that is without an answer is said again after this. *Guess*: above [`REQUEST_TIMEOUT`].
pub const UNANSWERED_AGAIN: Duration = Duration::from_secs(5);

/// When a superpeer leaves something without an answer so many others, unheard for a while, are asked whether they are
/// there. *Guess*: more than two, so that the word spreads if half of them are beyond a cut.
pub const DOUBT_OTHERS: usize = 3;

/// They are asked again only after this if no more than one of [`DOUBT_SHARE`] neighbours leaves a hello without an answer.
/// *Guess*: where one of many dies each few seconds it is no sign of a cut.
pub const DOUBT_AGAIN: Duration = Duration::from_secs(60);

/// See [`DOUBT_AGAIN`]. *Guess*: four of a hundred and thirty; with less than so many neighbours each death may be a sign.
pub const DOUBT_SHARE: usize = 32;

/// For so long a peer may leave hellos without an answer. *Guess*: three of them.
pub const UNANSWERED_FOR: Duration = Duration::from_secs(15);

/// The load of who has as many children as it takes, or more. *Specification* (`wire.cddl`).
pub const LOAD_MAX: u8 = 254;

/// The load of a superpeer that takes no children, as a login server's where there are others. *Specification*
/// (`wire.cddl`).
pub const TAKES_NONE: u8 = 255;

/// A hello tells a superpeer our load again when it differs from what was told last by more than one of so many.
/// *Guess*: who has 1.75 times the mean hands children on, so a mean may not be far off.
pub const LOAD_STEP: u8 = 8;

/// A lower load counts as this for that. *Guess*: six of [`CHILDREN_MAX`] children make a difference.
pub const LOAD_STEP_FROM: u8 = 16;

/// Who did not dial lets so much more quiet pass: usually the other side's hello makes its own
/// unnecessary. *Guess*: above nearly every round trip.
pub const HELLO_YIELD: Duration = Duration::from_secs(1);

/// A hello tells a child others than it was told before after this, if there are better ones; at once if one of them is gone.
/// *Guess*: half of an attachment.
pub const INTRODUCE_INTERVAL: Duration = Duration::from_secs(300);

/// A hello tells a child the same others again after this: it may have given some up. *Guess*: seldom enough to cost nothing.
pub const INTRODUCE_AGAIN: Duration = Duration::from_secs(2_400);

/// Silence after which a link is dead, on a young link. *Specification* (DESIGN §4).
pub const DEAD_AFTER: Duration = Duration::from_secs(40);

/// The same, in the intervals that the other side has told, if that is longer. *Specification* (DESIGN
/// §4: 120 s for 40 s).
pub const HELLOS_MISSED: u32 = 3;

/// Silence after which a transport gives a connection up by itself, so that its end is nobody's word. *Specification*
/// (DETAILS *Links*: the idle timeout of QUIC).
pub const GIVEN_UP: Duration = Duration::from_secs(30);

/// How long after the end of a superpeer's link dials that fail belong to it. *Guess*: a turn of upkeep, and both
/// transports' timeouts, with time to spare.
pub const REDIALLED_WITHIN: Duration = Duration::from_secs(60);

/// A link that has not greeted is closed after this. *Guess*.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A link that nobody needs is closed after this long unused. *Guess*.
pub const IDLE_CLOSE: Duration = Duration::from_secs(30);

/// The same, of a link that one superpeer has opened to another. *Guess*: over TCP it costs nothing when nothing is said on
/// it, over QUIC as much in 25 minutes as another connection (*measured* by the simulator's rates); and no hello falls into it
/// ([`HELLO_FAR_MAX`]).
pub const IDLE_CLOSE_SUPERPEER: Duration = Duration::from_secs(600);

/// Who has so many links that it has opened to superpeers and does not need closes them as any other. *Guess*: with those
/// that others keep to it, and its streams, far below what `overlay/host` accepts.
pub const IDLE_SUPERPEERS_MAX: usize = 256;

/// Clock difference to the median neighbour above which we only read. *Specification* (DESIGN §4).
pub const SKEW_MAX_SECS: i64 = 600;

// ---- Store and publishing --------------------------------------------------------------------------

/// Records that one superpeer stores; lifted by nothing. *Guess*: 256 Ki records of 1 KiB fit memory.
pub const STORED_MAX: usize = 262_144;

/// A superpeer stores what it is among the so-many × r closest for. *Guess* (security.md §1.7).
pub const REGION: usize = 3;

/// How often expired records are swept out. *Guess*.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Records are signed again after this. *Specification* (DETAILS *Records*).
pub const RESIGN_INTERVAL: Duration = Duration::from_secs(12 * 3_600);

/// First wait after a failed publication; doubles up to [`PUBLISH_RETRY_MAX`]. *Guess*.
pub const PUBLISH_RETRY: Duration = Duration::from_secs(1);

/// Longest wait between publications that fail. *Guess*.
pub const PUBLISH_RETRY_MAX: Duration = Duration::from_secs(60);

/// Names whose publication is under way at once; the others wait. *Guess*: half of [`SERVING_MAX`], so
/// that a parent is never too busy for them.
pub const PUBLISHING_MAX: usize = 256;

/// Times a publication adopts a higher sequence number before it counts as failed. *Guess*.
pub const STALE_ATTEMPTS: u8 = 3;

// ---- Map and gossip --------------------------------------------------------------------------------

/// Of one /24 (version 4) or /48 (version 6) among those that are chosen or handed on. *Guess*: as
/// go-libp2p-kad-dht and discv5 have it for a bucket (security.md §1.2).
pub const GROUP_NARROW_MAX: usize = 2;

/// Of one /16 (version 4) or /32 (version 6) among those that are chosen or handed on. *Guess*: 4 per
/// table (security.md §1.2).
pub const GROUP_WIDE_MAX: usize = 4;

/// Statements taken from one hello. *Guess*: more than a budget's burst holds is not honest.
pub const STATEMENTS_PER_HELLO_MAX: usize = 16;

/// Suspects taken from one hello, and told in one. *Guess*.
pub const SUSPECTS_PER_HELLO_MAX: usize = 8;

/// Statements, and suspects, that wait to be told. *Guess*.
pub const RUMOURS_MAX: usize = 256;

/// Bytes of a statement in a hello, for the budget. *Measured* by encoding one: 111.
pub const STATEMENT_BYTES: u64 = 111;

/// Bytes of a suspect, or of news, in a hello, for the budget. *Specification* (`wire.cddl`).
pub const BRIEF_BYTES: u64 = 8;

/// An older statement counts no more. *Guess*: an epidemic ends within minutes.
pub const STATEMENT_LIFE_SECS: u64 = 3_600;

/// Peers whose newest statement is remembered, against replays; the oldest goes first. *Guess*: as many
/// as are remembered as gone.
pub const STATEMENTS_REMEMBERED: usize = 1_024;

/// Times that one superpeer may say that it leaves, or lives again, and be heard in
/// [`STATEMENTS_WINDOW`]. *Guess*: three restarts.
pub const STATEMENTS_PER_PEER_MAX: u32 = 6;

/// See [`STATEMENTS_PER_PEER_MAX`]. *Guess*.
pub const STATEMENTS_WINDOW: Duration = Duration::from_secs(600);

/// For so long a superpeer that has started again says so as it greets. *Guess*: an epidemic ends within minutes.
pub const BACK_TOLD_FOR: Duration = Duration::from_secs(300);

/// Who has joined within this denies no suspicion: it is of its end before. *Guess*: half a minute until the silence is
/// noticed, and as long again to get around.
pub const SUSPECTED_OF_BEFORE: Duration = Duration::from_secs(90);

/// Who is suspected says at most so often that it lives. *Guess*.
pub const ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Who answered our dial so lately is tried again on hearsay only after it. *Guess*.
pub const TRIAL_INTERVAL: Duration = Duration::from_secs(30);

/// Superpeers that wait to be tried. *Guess*: as many as two answers name.
pub const TRIALS_MAX: usize = 64;

/// Trials a second, on hearsay that somebody is dead, or is not. *Guess*.
pub const TRIALS_PER_SEC: u64 = 2;

/// Trials at once after a quiet time. *Guess*: half of an answer's hints more than [`UPKEEP_DIALS`].
pub const TRIALS_BURST: u64 = 24;

/// Dials to addresses that nobody has answered at yet, under way. *Guess*.
pub const UNVERIFIED_DIALS_MAX: usize = 32;

/// The same, a second. A hint's address is signed by nobody: who tells a wrong one can make others
/// knock there. *Guess*: the storers of half a registration that nobody of us has met before.
pub const UNVERIFIED_DIALS_PER_SEC: u64 = 8;

/// The same, at once after a quiet time. *Guess*: the storers of three registrations.
pub const UNVERIFIED_DIALS_BURST: u64 = 64;

/// Hints and statements of one link that don't verify, within [`BAD_HINTS_WINDOW`]; more end it. *Guess*.
pub const BAD_HINTS_MAX: u32 = 16;

/// See [`BAD_HINTS_MAX`]. *Guess*.
pub const BAD_HINTS_WINDOW: Duration = Duration::from_secs(60);

/// How often the anchors on disk may change. *Guess*.
pub const ANCHORS_INTERVAL: Duration = Duration::from_secs(10);

/// Requests of one survey. *Guess*: half as many again as tell a map of [`MAP_MAX`].
pub const SURVEY_REQUESTS_MAX: usize = 1_024;

/// Superpeers that a survey begins with, about, around a place of no interest: with others it goes on if it has found any
/// there. *Guess*: as many as an answer with hints may name.
pub const SURVEYED_AROUND: usize = 16;

/// Marks of superpeers in one answer: of more in a range its parts are told. *Guess*: 1 KiB, eight times as much as the
/// hashes of the parts.
pub const MARKS_MAX: usize = 256;

/// Superpeers of a range that are asked for at once. *Guess*: 10 KB.
pub const SURVEYED_HINTS: usize = 64;

/// Superpeers that a newcomer learns the map from. *Specification* (DESIGN §4).
pub const SURVEY_TELLERS: usize = 2;

/// Surveys under way: a newcomer's, and those of superpeers that came back. *Guess*.
pub const SURVEYS_MAX: usize = 4;

/// Warm streams that only we choose, and nobody who connects to us can take. *Specification* (DESIGN
/// §4).
pub const OUTBOUND_SLOTS: usize = 8;

/// Whom we have dialled so lately is there; the others are tried one by one. *Guess*.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(600);

/// One of those is tried so often. *Guess*: who has not heard by gossip of a death, or of a goodbye, finds it out
/// so. It costs a connection, 2 KB (*measured*).
pub const PROBE_EVERY: Duration = Duration::from_secs(120);

/// For so long a storer may say that it is taking its range over, and look-ups that lack its word wait and ask
/// again. *Guess*: as long as a newcomer pulls ([`HAND_OVER_WINDOW`]).
pub const UNREADY_PATIENCE: Duration = Duration::from_secs(60);

/// After it look-ups don't wait for that storer, until it may be believed again, counted from its first word.
/// *Guess*: who restarts again within it costs some absences their answer for some seconds; one that says so
/// for ever makes look-ups slow for a tenth of the time.
pub const UNREADY_AGAIN: Duration = Duration::from_secs(600);

/// Contacts that have answered our dial and are linked, from which on nobody is dialled back. *Guess*: an
/// answer's seeds or candidates, and as many again.
pub const CONTACTS_ENOUGH: usize = 32;

/// With fewer contacts that have answered our dial also those are named that have not been dialled yet. *Guess*: a
/// parent, two standbys, and a choice of each.
pub const CONTACTS_FEW: usize = 8;

/// Wait before one of those that came to us is dialled back, jittered by half. *Guess*: a dozen in two
/// seconds, and no storm when a thousand come at once.
pub const DIAL_BACK_WAIT: Duration = Duration::from_millis(200);

/// Superpeers dialled back within [`PROBE_INTERVAL`]. *Guess*.
pub const DIALLED_BACK_MAX: usize = 1_024;

/// Hellos that carry a goodbye at once, by each that hears of it. *Guess*: an epidemic needs two.
pub const HURRIED_HELLOS: usize = 3;
