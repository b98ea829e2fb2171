//! Answers the login protocol.
//!
//! One call, one answer: `serve(caller, bytes) -> bytes`. Order of every request: read → rate limit →
//! rules → proof → database (durable) → signature → answer. The password steps are about a millisecond
//! of arithmetic each and run where they are called, on the service's own threads; nothing here runs on
//! the overlay's one worker.
//!
//! *Not here*: the transport ([`crate::serve`]), publishing of epoch records ([`crate::publisher`]).

mod enrol;
mod login;
mod members;
mod sessions;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use callbook_login::messages::{Announce, Announced, Request, Response};
use callbook_login::opaque::ServerKeys;
use callbook_login::{Claim, Refusal};
use callbook_overlay::key::{PeerId, PublicKey};
use callbook_overlay::name::Username;
use callbook_overlay::network::{Limits, Network};
use callbook_overlay::sign::{Signature, Strict};
use callbook_overlay::time::Now;
use tokio::sync::Notify;

use crate::authority::Authority;
use crate::clock::Clock;
use crate::database::{Database, DatabaseError};
use crate::directory::Directory;
use crate::limiter::{Limiter, group};
use crate::limits;
use crate::metrics::{self, Metrics};
use crate::targets::Targets;
use crate::usernames;
use sessions::Sessions;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The authenticated other end.
    pub peer: PeerId,
    /// From where, if that is known.
    pub address: Option<IpAddr>,
}

/// What a service is made of.
pub struct Parts {
    /// The login key.
    pub authority: Arc<Authority>,
    /// The password suite's keys.
    pub keys: ServerKeys,
    /// The accounts.
    pub database: Database,
    /// The overlay.
    pub directory: Arc<dyn Directory>,
    /// Both clocks.
    pub clock: Clock,
    /// 32 random bytes, new at every start.
    pub seed: [u8; 32],
    /// Where metrics are announced.
    pub targets: Targets,
}

/// The login service.
pub struct Service {
    authority: Arc<Authority>,
    keys: ServerKeys,
    database: Database,
    directory: Arc<dyn Directory>,
    clock: Clock,
    sessions: Mutex<Sessions>,
    /// `None` on a network with `limits = lab`.
    limiters: Option<Mutex<Limiters>>,
    metrics: Metrics,
    targets: Targets,
    revoked: Arc<Notify>,
}

struct Limiters {
    enrolments: Limiter,
    logins_by_group: Limiter,
    logins_by_account: Limiter,
    requests: Limiter,
}

/// Why a request isn't granted.
enum Stop {
    Refused(Refusal),
    /// Our fault; the text goes to the log, not to the asker.
    Failed(String),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<DatabaseError> for Stop {
    fn from(error: DatabaseError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Service {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { authority, keys, database, directory, clock, seed, targets } = parts;
        let limiter = |rate, purpose: &str| Limiter::new(rate, blake3::derive_key(purpose, &seed));
        let limiters = match authority.network().limits {
            Limits::Lab => None,
            Limits::Normal => Some(Mutex::new(Limiters {
                enrolments: limiter(limits::ENROLMENTS, "callbook 1 limit enrolments"),
                logins_by_group: limiter(limits::LOGINS_BY_GROUP, "callbook 1 limit logins by group"),
                logins_by_account: limiter(limits::LOGINS_BY_ACCOUNT, "callbook 1 limit logins by account"),
                requests: limiter(limits::REQUESTS_BY_GROUP, "callbook 1 limit requests"),
            })),
        };
        Self {
            authority,
            keys,
            database,
            directory,
            clock,
            sessions: Mutex::default(),
            limiters,
            metrics: Metrics::default(),
            targets,
            revoked: Arc::default(),
        }
    }

    /// The counters, for the registry.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Rung after each revocation, for the publisher.
    #[must_use]
    pub fn revoked(&self) -> Arc<Notify> {
        Arc::clone(&self.revoked)
    }

    /// Answers a request.
    pub async fn serve(&self, caller: &Caller, request: &[u8]) -> Bytes {
        let begun = (self.clock)().instant;
        let (kind, answer) = match Request::read(request) {
            Ok(request) => (metrics::kind(&request), self.answer(caller, request).await),
            Err(error) => {
                tracing::debug!(%error, "unreadable login request");
                (metrics::Kind::Other, Err(Refusal::Malformed.into()))
            }
        };
        let response = match answer {
            Ok(response) => response,
            Err(Stop::Refused(refusal)) => Response::Refused(refusal),
            Err(Stop::Failed(reason)) => {
                tracing::error!(reason, request = ?kind, "a login request failed");
                Response::Refused(Refusal::Internal)
            }
        };
        tracing::debug!(request = ?kind, refused = ?refusal(&response), "answered");
        let logins_begun = lock(&self.sessions).len();
        self.metrics.set_logins_begun(logins_begun);
        self.metrics.count(kind, &response, (self.clock)().instant.since(begun));
        response.to_bytes()
    }

    async fn answer(&self, caller: &Caller, request: Request) -> Result<Response, Stop> {
        let now = (self.clock)();
        self.limit(caller, &request, now)?;
        match request {
            Request::EnrolStart(start) => self.enrol_start(&start).await,
            Request::EnrolFinish(finish) => self.enrol_finish(&finish, now.unix).await,
            Request::LoginStart(start) => self.login_start(caller, &start, now.instant).await,
            Request::LoginFinish(finish) => self.login_finish(caller, &finish, now).await,
            Request::CertifyNode(node) => self.certify_node(caller, &node, now.unix).await,
            Request::Renew(renew) => self.renew(caller, &renew, now.unix).await,
            Request::Revoke(revoke) => self.revoke(caller, &revoke, now.unix).await,
            Request::Devices(devices) => self.devices(caller, &devices, now.unix).await,
            Request::Seeds(seeds) => {
                let count = usize::from(seeds.count).min(callbook_login::messages::SEEDS_MAX);
                Ok(Response::Seeds(self.directory.seeds(count).await))
            }
            Request::Announce(announce) => self.announce(caller, &announce, now).await,
            Request::Unsupported { .. } => Err(Refusal::Unsupported.into()),
        }
    }

    /// Lists a certified peer's metrics at the address that it comes from: what strangers serve doesn't get into
    /// the operator's Prometheus.
    async fn announce(&self, caller: &Caller, announce: &Announce, now: Now) -> Result<Response, Stop> {
        if announce.port == 0 {
            self.targets.withdraw(&caller.peer);
            return Ok(Response::Announced(Announced { secs: 0 }));
        }
        let ip = caller.address.ok_or(Refusal::Refused)?;
        if !self.is_certified(caller, announce.vouch.as_ref(), now.unix).await? {
            return Err(Refusal::Uncertified.into());
        }
        if self.targets.announce(caller.peer, (ip, announce.port), now.instant) {
            let secs = u32::try_from(limits::ANNOUNCED_FOR.as_secs()).unwrap_or(u32::MAX);
            return Ok(Response::Announced(Announced { secs }));
        }
        Err(limited(limits::ANNOUNCED_FOR).into())
    }

    /// Counts a request against the limit of its address group.
    fn limit(&self, caller: &Caller, request: &Request, now: Now) -> Result<(), Refusal> {
        let Some(limiters) = &self.limiters else { return Ok(()) };
        let who = caller.address.map_or_else(|| caller.peer.as_bytes().to_vec(), group);
        let mut limiters = lock(limiters);
        let limiter = if matches!(request, Request::EnrolFinish(_)) {
            &mut limiters.enrolments
        } else if matches!(request, Request::LoginStart(_)) {
            &mut limiters.logins_by_group
        } else {
            &mut limiters.requests
        };
        limiter.take(&who, now.instant).map_err(limited)
    }

    fn network(&self) -> &Network {
        self.authority.network()
    }

    /// A name that may be given away.
    fn free_name(username: &str) -> Result<Username, Refusal> {
        let username = Username::parse(username).map_err(|_| Refusal::BadUsername)?;
        if usernames::is_reserved(&username) { Err(Refusal::Reserved) } else { Ok(username) }
    }

    fn check(&self, claim: Claim<'_>, device: &PublicKey, proof: &Signature) -> Result<(), Refusal> {
        let holds = claim.verify(&self.network().id, device, proof, &Strict);
        if holds { Ok(()) } else { Err(Refusal::BadProof) }
    }
}

fn limited(retry_after: Duration) -> Refusal {
    // Rounded up: who comes back when told to is let in.
    Refusal::RateLimited { retry_after: Duration::from_secs(retry_after.as_secs() + 1) }
}

fn refusal(response: &Response) -> Option<Refusal> {
    if let Response::Refused(refusal) = response { Some(*refusal) } else { None }
}

/// What a mutex guards; a panic elsewhere can't have left it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Random bytes of the system.
fn random<const N: usize>() -> Result<[u8; N], Stop> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Stop::Failed(format!("no entropy: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
