//! Metrics of the login service, in the same registry as the overlay's.

use std::fmt;
use std::time::Duration;

use callbook_login::{Request, Response};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Begin to create an account.
    EnrolStart,
    /// Create it.
    EnrolFinish,
    /// Begin to log in.
    LoginStart,
    /// Log in.
    LoginFinish,
    /// Certify a node.
    CertifyNode,
    /// Renew a device certificate.
    Renew,
    /// Revoke one.
    Revoke,
    /// List devices.
    Devices,
    /// Name superpeers.
    Seeds,
    /// List metrics for Prometheus.
    Announce,
    /// Unknown or unreadable.
    Other,
}

const KINDS: [Kind; 11] = [
    Kind::EnrolStart,
    Kind::EnrolFinish,
    Kind::LoginStart,
    Kind::LoginFinish,
    Kind::CertifyNode,
    Kind::Renew,
    Kind::Revoke,
    Kind::Devices,
    Kind::Seeds,
    Kind::Announce,
    Kind::Other,
];

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Granted.
    Ok,
    /// Refused by a rule.
    Refused,
    /// Refused because the name, or one like it, belongs to somebody.
    Taken,
    /// Refused by a rate limit.
    Limited,
    /// The server failed.
    Failed,
}

const OUTCOMES: [Outcome; 5] =
    [Outcome::Ok, Outcome::Refused, Outcome::Taken, Outcome::Limited, Outcome::Failed];

impl EncodeLabelValue for Kind {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let word = match self {
            Self::EnrolStart => "enrol_start",
            Self::EnrolFinish => "enrol_finish",
            Self::LoginStart => "login_start",
            Self::LoginFinish => "login_finish",
            Self::CertifyNode => "certify_node",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
            Self::Devices => "devices",
            Self::Seeds => "seeds",
            Self::Announce => "announce",
            Self::Other => "other",
        };
        word.encode(encoder)
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let word = match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Taken => "taken",
            Self::Limited => "limited",
            Self::Failed => "failed",
        };
        word.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    request: Kind,
    result: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    request: Kind,
}

/// The metrics' names and what they tell.
pub mod names {
    use callbook_host::metrics::{Kind, Metric};

    macro_rules! named {
        ($(#[doc = $help:literal] $name:ident = $kind:ident $word:literal;)*) => {
            $(
                #[doc = $help]
                pub const $name: Metric = Metric {
                    name: concat!("callbook_bootstrap_", $word),
                    help: $help.trim_ascii(),
                    kind: Kind::$kind,
                };
            )*
            /// All of them.
            pub const ALL: &[Metric] = &[$($name),*];
        };
    }

    named! {
        /// Login protocol requests, by kind and result
        REQUESTS = Counter "requests";
        /// How long they took, by kind
        REQUEST_DURATION = Histogram "request_duration_seconds";
        /// Logins that reached their last message, by result
        LOGINS = Counter "logins";
        /// Enrolments that reached their last message, by result
        ENROLMENTS = Counter "enrolments";
        /// How long the last message of a login took, by result: arithmetic of the password and the database
        LOGIN_DURATION = Histogram "login_duration_seconds";
        /// Logins between their two messages
        LOGINS_BEGUN = Gauge "logins_begun";
        /// Active accounts
        ACCOUNTS = Gauge "accounts";
        /// Superpeers in the map: fresh ones have a link to the server
        SUPERPEERS_KNOWN = Gauge "superpeers_known";
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// Up to which times requests are counted, in seconds. (guess: a stretch takes a tenth, a queue whole ones)
const BOUNDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The metrics of the login service.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RequestLabel, Histogram, fn() -> Histogram>,
    logins: Family<ResultLabel, Counter>,
    login_durations: Family<ResultLabel, Histogram, fn() -> Histogram>,
    enrolments: Family<ResultLabel, Counter>,
    logins_begun: Gauge,
    accounts: Gauge,
    superpeers: Family<StateLabel, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BOUNDS)),
            logins: Family::default(),
            login_durations: Family::new_with_constructor(|| Histogram::new(BOUNDS)),
            enrolments: Family::default(),
            logins_begun: Gauge::default(),
            accounts: Gauge::default(),
            superpeers: Family::default(),
        }
    }
}

impl Metrics {
    /// Adds the metrics to a registry, all label values from the start.
    pub fn register(&self, registry: &mut Registry) {
        for result in OUTCOMES {
            drop(self.logins.get_or_create(&ResultLabel { result }));
            drop(self.login_durations.get_or_create(&ResultLabel { result }));
            drop(self.enrolments.get_or_create(&ResultLabel { result }));
            for request in KINDS {
                drop(self.requests.get_or_create(&RequestLabels { request, result }));
            }
        }
        for request in KINDS {
            drop(self.durations.get_or_create(&RequestLabel { request }));
        }
        self.set_superpeers(0, 0);
        macro_rules! add {
            ($($name:ident: $field:ident),*) => {
                $(registry.register(names::$name.name, names::$name.help, self.$field.clone());)*
            };
        }
        add!(REQUESTS: requests, REQUEST_DURATION: durations, LOGINS: logins, ENROLMENTS: enrolments);
        add!(LOGIN_DURATION: login_durations);
        add!(LOGINS_BEGUN: logins_begun, ACCOUNTS: accounts, SUPERPEERS_KNOWN: superpeers);
    }

    /// Sets the number of accounts.
    pub fn set_accounts(&self, count: i64) {
        self.accounts.set(count);
    }

    /// Sets the number of logins between their two messages.
    pub fn set_logins_begun(&self, count: usize) {
        self.logins_begun.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets the numbers of superpeers heard of lately, and of the others in the map.
    pub fn set_superpeers(&self, fresh: usize, stale: usize) {
        for (state, count) in [("fresh", fresh), ("stale", stale)] {
            let gauge = self.superpeers.get_or_create(&StateLabel { state });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Counts one more account.
    pub fn add_account(&self) {
        self.accounts.inc();
    }

    /// Counts a request, how it ended, and how long it took.
    pub fn count(&self, request: Kind, response: &Response, took: Duration) {
        let result = outcome(response);
        self.requests.get_or_create(&RequestLabels { request, result }).inc();
        self.durations.get_or_create(&RequestLabel { request }).observe(took.as_secs_f64());
        if request == Kind::LoginFinish {
            self.logins.get_or_create(&ResultLabel { result }).inc();
            self.login_durations.get_or_create(&ResultLabel { result }).observe(took.as_secs_f64());
        }
        if request == Kind::EnrolFinish {
            self.enrolments.get_or_create(&ResultLabel { result }).inc();
        }
    }
}

/// The label of a request.
#[must_use]
pub fn kind(request: &Request) -> Kind {
    match request {
        Request::EnrolStart(_) => Kind::EnrolStart,
        Request::EnrolFinish(_) => Kind::EnrolFinish,
        Request::LoginStart(_) => Kind::LoginStart,
        Request::LoginFinish(_) => Kind::LoginFinish,
        Request::CertifyNode(_) => Kind::CertifyNode,
        Request::Renew(_) => Kind::Renew,
        Request::Revoke(_) => Kind::Revoke,
        Request::Devices(_) => Kind::Devices,
        Request::Seeds(_) => Kind::Seeds,
        Request::Announce(_) => Kind::Announce,
        Request::Unsupported { .. } => Kind::Other,
    }
}

fn outcome(response: &Response) -> Outcome {
    use callbook_login::Refusal;
    let Response::Refused(refusal) = response else { return Outcome::Ok };
    if matches!(refusal, Refusal::RateLimited { .. }) {
        Outcome::Limited
    } else if matches!(refusal, Refusal::Taken | Refusal::Reserved) {
        Outcome::Taken
    } else if matches!(refusal, Refusal::Internal | Refusal::KeyExpiring) {
        Outcome::Failed
    } else {
        Outcome::Refused
    }
}
