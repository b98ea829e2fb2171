//! Bounds of superpeers and their children: attachments, standbys, fail-over, presence.

use core::time::Duration;

use super::{HOUR, REQUEST_TIMEOUT, RESOLVE_TIMEOUT, WALK_TIMEOUT};

/// Children of one superpeer, unless its operator says otherwise. *Specification* (DESIGN §5).
pub const CHILDREN_MAX: usize = 512;

/// Children without an account have at most one place in so many. *Specification* (DESIGN §5).
pub const GUESTS_SHARE: usize = 4;

/// Other superpeers that a login server must know before it refuses children. *Specification*
/// (DESIGN §5).
pub const RELUCTANT_FROM: usize = 3;

/// Peers that are online for each superpeer; with fewer superpeers a child is promoted. *Specification* (DESIGN §5).
pub const PEERS_PER_SUPERPEER: usize = 100;

/// With fewer superpeers every child that would be one is promoted. *Specification* (DESIGN §5).
pub const SUPERPEERS_LEAST: usize = 24;

/// With more children than this in the mean superpeers promote one. *Specification* (DESIGN §5, *high water*).
pub const CHILDREN_HIGH: usize = 200;

/// Children that a superpeer is meant to have. *Specification* (DESIGN §5).
pub const CHILDREN_TARGET: usize = 100;

/// How often a superpeer looks whether there are too few superpeers, or too many. *Guess*.
pub const BALANCE_INTERVAL: Duration = Duration::from_secs(10);

/// Who was asked to become a superpeer has become one by then, or never will. *Guess*: a certificate, and news of it.
pub const PROMOTED_WITHIN: Duration = Duration::from_secs(60);

/// A superpeer steps down no sooner than this after it joined. *Guess*.
pub const STEP_DOWN_AFTER: Duration = Duration::from_secs(120);

/// With fewer peers nobody steps down. *Specification* (DESIGN §5: then everybody may be a superpeer).
pub const STEP_DOWN_FROM: usize = 1_000;

/// Children that are named others to at a time. *Guess*: each of them registers again.
pub const HANDED_ON_MAX: usize = 16;

/// A child that moved to its parent so lately stays there. *Guess*.
pub const MOVE_INTERVAL: Duration = Duration::from_secs(60);

/// How long an attachment holds. *Specification* (DESIGN §5).
pub const ATTACHMENT_LIFE: Duration = Duration::from_secs(600);

/// When an attachment is renewed. *Specification* (DESIGN §5).
pub const ATTACHMENT_RENEW: Duration = Duration::from_secs(300);

/// Longest time that a reservation is asked for: twice as long as the last one each time that the same standby keeps
/// it. *Guess*: by then it has stood by for as long, and who has been there for long stays (Saroiu et al., paper). Each
/// renewal takes a connection: at [`ATTACHMENT_LIFE`] for ever they were a quarter of what a superpeer sent
/// (*measured*, row B).
pub const RESERVATION_LIFE_MAX: Duration = Duration::from_secs(4_800);

/// First wait after a failed attach; doubles up to [`ATTACH_RETRY_MAX`], jittered by half. *Guess*.
pub const ATTACH_RETRY: Duration = Duration::from_millis(100);

/// Longest wait between attempts to attach. *Guess*.
pub const ATTACH_RETRY_MAX: Duration = Duration::from_secs(5);

/// Records that one child may have indexed; lifted by `limits = lab`. *Guess*.
pub const RECORDS_PER_CHILD_MAX: usize = 64;

/// Bundles in a superpeer's cache. *Guess*: at 1 KiB each some 16 MiB.
pub const CACHE_MAX: usize = 16_384;

/// Records that have been verified, kept so that they are not verified again. *Guess*: at 1 KiB each
/// some 8 MiB.
pub const VERIFIED_MAX: usize = 8_192;

/// Names whose newest records are remembered by who looks them up. *Guess*: about 2 MiB.
pub const NEWEST_MAX: usize = 1_024;

/// Attempts of a child at a verifiable answer. *Guess*.
pub const RESOLVE_ATTEMPTS: u8 = 3;

/// Candidates for a parent that are dialled at once. *Guess*.
pub const PROBES: usize = 3;

/// How long the first candidate that is up waits for the others. *Guess*: a round trip within a
/// continent.
pub const PROBE_WAIT: Duration = Duration::from_millis(30);

/// Doublings of a superpeer's observed age, from a minute on, that speak for it as a parent. *Guess*: it has
/// been there for most of a day; that longer sessions last longer is Saroiu et al. (paper).
pub const DOUBLINGS_MAX: u32 = 10;

/// Candidates none of which is up after this are passed over. *Guess*.
pub const PROBE_GIVE_UP: Duration = Duration::from_secs(2);

/// Standbys of a child. *Specification* (DESIGN §5).
pub const STANDBYS: usize = 2;

/// Wait before standbys are looked for, jittered by half. *Guess*: what is registered goes first, and
/// many children that lost one parent don't act in step.
pub const STANDBY_WAIT: Duration = Duration::from_millis(300);

/// Wait before standbys are looked for again when there are too few, jittered by half. *Guess*.
pub const STANDBY_RETRY: Duration = Duration::from_secs(30);

/// A superpeer that has no place for a standby, or can't be reached, is not asked again before this.
/// *Guess*.
pub const STANDBY_PASS_OVER: Duration = Duration::from_secs(60);

/// Standbys that have not taken the place of a lost parent after this are not waited for: others are asked
/// too. *Guess*: a dial and a request, to the other end of the world.
pub const STANDBY_PATIENCE: Duration = Duration::from_millis(500);

/// Children of a full superpeer that lose it ask their standbys within this, each when it is its turn by
/// chance; those of an emptier one within less, and an only child at once. *Guess*: three of
/// [`CHILDREN_MAX`] each millisecond, and most of the second is left in which they have to be found again
/// (DESIGN §5).
pub const FAIL_OVER_SPREAD: Duration = Duration::from_millis(150);

/// Reservations of a superpeer for each of its children. *Specification* (DESIGN §5: two standbys).
pub const RESERVATIONS_PER_CHILD: usize = 2;

/// A parent that has been asked may be silent for this long, or four round trips. *Specification*
/// (DETAILS *Links*).
pub const SILENCE_MIN: Duration = Duration::from_millis(200);

/// A silence that the standbys could not end is judged again after this. *Guess*.
pub const SILENCE_AGAIN: Duration = Duration::from_secs(1);

/// How often a parent says that it is still at work. *Specification* (DETAILS *Links*).
pub const WORKING_INTERVAL: Duration = Duration::from_millis(100);

/// And at most so long, however far away it says that it is. *Guess*: what a satellite takes.
pub const WORKING_INTERVAL_MAX: Duration = Duration::from_millis(600);

/// A deadline that is overdue by as much: the process or its machine stood still, and others have
/// gone on without it: what they asked has failed, and what they said since may have gone to others.
pub const AWAY: Duration = REQUEST_TIMEOUT;

/// An absence that no standby has confirmed after this is unknown. As long as the look-up lasts: as a rule the
/// standby has to be dialled first, and with a fifth of packets lost and a fifth of superpeers slow that and its
/// look-up often take more than eight seconds (*measured*, row L).
pub const CONFIRM_TIMEOUT: Duration = RESOLVE_TIMEOUT;

/// A standby that has not confirmed an absence after this is not waited for: another one is asked, too. *Guess*: a
/// dial over TCP, a request and the standby's look-up, five round trips to the other end of the world.
pub const CONFIRM_HEDGE: Duration = Duration::from_millis(1_500);

/// Who does not keep a place for us after this is passed over. *Guess*: as a rule it has to be dialled first, as
/// above.
pub const RESERVE_TIMEOUT: Duration = WALK_TIMEOUT;

/// Faults of a parent in a row (no answer though it is heard, answers that don't verify, absences that a
/// standby refutes) after which its child leaves it. *Guess*.
pub const PARENT_FAULTS_MAX: u8 = 3;

/// How long after a registration a child resolves itself, jittered by half. *Guess*.
pub const SELF_CHECK_WAIT: Duration = Duration::from_secs(2);

/// How long after that a child resolves itself again, jittered by half; twice as long after each time that it found
/// itself. *Specification* (DESIGN §4) at first.
pub const SELF_CHECK_INTERVAL: Duration = Duration::from_secs(300);

/// How often that interval is doubled. *Guess*: as for [`RESERVATION_LIFE_MAX`], whose connection it shares.
pub const SELF_CHECK_DOUBLINGS: u32 = 2;

/// A self-check that waits for a standby to be dialled anyway waits so much longer. *Guess*.
pub const SELF_CHECK_SLACK: Duration = Duration::from_secs(60);

/// Names in one self-check. *Guess*.
pub const SELF_CHECK_NAMES: usize = 8;

/// Unlinked superpeers that a child tries when a majority of those that it knows is missing. *Guess*.
pub const DOUBTED_DIALS: usize = 8;

/// A question for presence has no answer after this. *Specification* (DESIGN §5).
pub const PRESENCE_TIMEOUT: Duration = Duration::from_secs(2);

/// A parent that passes a question for presence on waits this long: the answer has to be back in time.
/// *Guess*.
pub const PRESENCE_PASSED_TIMEOUT: Duration = Duration::from_millis(1_700);

/// Questions for presence of one link under way. *Guess*.
pub const PRESENCE_PER_LINK_MAX: usize = 64;

/// Goodbyes of children that a parent remembers; the oldest goes first. *Guess*: two full superpeers'.
pub const GOODBYES_MAX: usize = 1_024;

/// How long a goodbye is remembered: as long as a record lasts. *Specification* (DESIGN §3: 72 h).
pub const GOODBYE_LIFE: Duration = Duration::from_secs(72 * HOUR);
