//! Every bound of the login server. At a bound it refuses and says when to come back.

use std::time::Duration;

/// Live devices of an account. (specification: DESIGN §3, devices of a name)
pub const DEVICES_MAX: i64 = 8;

/// Live node certificates of an account. (specification: DESIGN §2)
pub const NODES_MAX: i64 = 3;

/// How long a node token may wait for its node. (specification: DETAILS *Commands*)
pub const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// How long a retried enrolment gets its certificate again. (specification: DETAILS *Accounts*)
pub const ENROL_RETRY: Duration = Duration::from_secs(600);

/// What the login key must have left to sign anything. (specification: DESIGN §3)
pub const LOGIN_LEFT_MIN: Duration = Duration::from_secs(14 * 24 * 3600);

/// How long a revoked serial number stays in the epoch record. (specification: DESIGN §3)
pub const REVOKED_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// How recently a superpeer must have been heard to be named as a seed. (specification: DESIGN §7)
pub const SEED_FRESH: Duration = Duration::from_secs(300);

/// Logins between their two messages, at most. (guess)
pub const SESSIONS_MAX: usize = 4096;

/// How long a login may take between its two messages; a slow phone stretches for seconds. (guess)
pub const SESSION_LIFE: Duration = Duration::from_secs(60);

/// Requests that are worked on at once. (guess)
pub const REQUESTS_MAX: usize = 64;

/// Buckets of each rate limit; names and addresses that share one share its limit. (guess)
pub const BUCKETS: usize = 16_384;

/// Bytes of a `network.toml`, `server.toml` or token file that are read at most.
pub const FILE_BYTES_MAX: u64 = 65_536;

/// How long a peer's metrics are listed for Prometheus. (guess: what Prometheus keeps of a target that is
/// gone is a row of failed scrapes)
pub const ANNOUNCED_FOR: Duration = Duration::from_secs(600);

/// Metrics listeners that are listed. (guess; the `target_limit` of the Prometheus configuration that is shipped, beyond
/// which it would scrape none of them)
pub const TARGETS_MAX: usize = 1_000;

/// Of them, those of one address group; a `lab` network has no such limit. (guess)
pub const TARGETS_PER_GROUP: usize = 64;

/// How often something may happen.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// So many at once.
    pub burst: u32,
    /// Then one each.
    pub every: Duration,
}

/// New accounts from one address group. (guess)
pub const ENROLMENTS: Rate = Rate { burst: 20, every: Duration::from_secs(180) };

/// Logins begun from one address group. (guess)
pub const LOGINS_BY_GROUP: Rate = Rate { burst: 30, every: Duration::from_secs(10) };

/// Logins begun for one account; one that succeeds is given back. (guess)
pub const LOGINS_BY_ACCOUNT: Rate = Rate { burst: 10, every: Duration::from_secs(60) };

/// All other requests from one address group. (guess)
pub const REQUESTS_BY_GROUP: Rate = Rate { burst: 120, every: Duration::from_millis(500) };
