//! Counters of the login service, in the same registry as the overlay's.

use std::fmt;

use callbook_login::{Request, Response};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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
    /// Unknown or unreadable.
    Other,
}

const KINDS: [Kind; 10] = [
    Kind::EnrolStart,
    Kind::EnrolFinish,
    Kind::LoginStart,
    Kind::LoginFinish,
    Kind::CertifyNode,
    Kind::Renew,
    Kind::Revoke,
    Kind::Devices,
    Kind::Seeds,
    Kind::Other,
];

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Granted.
    Ok,
    /// Refused by a rule.
    Refused,
    /// Refused by a rate limit.
    Limited,
    /// The server failed.
    Failed,
}

const OUTCOMES: [Outcome; 4] = [Outcome::Ok, Outcome::Refused, Outcome::Limited, Outcome::Failed];

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

/// The counters.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    logins: Family<ResultLabel, Counter>,
    enrolments: Family<ResultLabel, Counter>,
    accounts: Gauge,
}

impl Metrics {
    /// Adds the counters to a registry, all label values from the start.
    pub fn register(&self, registry: &mut Registry) {
        for result in OUTCOMES {
            drop(self.logins.get_or_create(&ResultLabel { result }));
            drop(self.enrolments.get_or_create(&ResultLabel { result }));
            for request in KINDS {
                drop(self.requests.get_or_create(&RequestLabels { request, result }));
            }
        }
        let registry = registry.sub_registry_with_prefix("callbook_bootstrap");
        registry.register("requests", "Login protocol requests, by kind and result", self.requests.clone());
        registry.register("logins", "Logins that reached their last message, by result", self.logins.clone());
        let help = "Enrolments that reached their last message, by result";
        registry.register("enrolments", help, self.enrolments.clone());
        registry.register("accounts", "Active accounts", self.accounts.clone());
    }

    /// Sets the number of accounts.
    pub fn set_accounts(&self, count: i64) {
        self.accounts.set(count);
    }

    /// Counts one more account.
    pub fn add_account(&self) {
        self.accounts.inc();
    }

    /// Counts a request and how it ended.
    pub fn count(&self, request: Kind, response: &Response) {
        let result = outcome(response);
        self.requests.get_or_create(&RequestLabels { request, result }).inc();
        if request == Kind::LoginFinish {
            self.logins.get_or_create(&ResultLabel { result }).inc();
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
        Request::Unsupported { .. } => Kind::Other,
    }
}

fn outcome(response: &Response) -> Outcome {
    use callbook_login::Refusal;
    let Response::Refused(refusal) = response else { return Outcome::Ok };
    if matches!(refusal, Refusal::RateLimited { .. }) {
        Outcome::Limited
    } else if matches!(refusal, Refusal::Internal | Refusal::KeyExpiring) {
        Outcome::Failed
    } else {
        Outcome::Refused
    }
}
