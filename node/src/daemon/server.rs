//! Asks the login server: one function per request, with repetition where that is safe.
//!
//! A request that nobody received is sent again; one whose answer was lost only if the server gives
//! the same answer twice (all but the end of a login). *Not here*: what is done with the answers.

use std::time::{Duration, Instant};

use callbook_host::{Handle, LoginError};
use callbook_login::messages::{
    Announce, Certified, CertifyNode, DeviceRequest, EnrolStarted, LoginStarted, Request, Response, Revoke,
    SEEDS_MAX, Seeds,
};
use callbook_login::{Claim, Refusal};
use callbook_overlay::certificate::NodeCertificate;
use callbook_overlay::key::NetworkId;
use callbook_overlay::name::Username;
use callbook_overlay::network::Network;
use callbook_overlay::sign::{SecretKey, Signer, Strict};
use callbook_overlay::wire::Hint;
use libp2p::Multiaddr;
use minicbor::bytes::ByteArray;

use crate::clock;
use crate::exit::Code;
use crate::problem::{Outcome, Problem};

/// How long a request is sent again and again. A guess: a server that restarts is back within that,
/// and one whose addresses take longer to fail is not restarting.
const RETRY_FOR: Duration = Duration::from_secs(3);

/// Pause before a request is sent again. A guess.
const PAUSE: Duration = Duration::from_millis(250);

/// The login servers of a network.
#[derive(Debug, Clone)]
pub(crate) struct LoginServer {
    handle: Handle,
    servers: Vec<Multiaddr>,
    network: NetworkId,
}

impl LoginServer {
    /// The servers at these multiaddrs, each with `/p2p`.
    pub(crate) fn new(handle: Handle, network: NetworkId, servers: &[String]) -> Self {
        let servers = servers
            .iter()
            .filter_map(|text| {
                text.parse()
                    .inspect_err(|error| tracing::warn!(%error, "a bootstrap address is not understood"))
                    .ok()
            })
            .collect();
        Self { handle, servers, network }
    }

    /// Sends one message of an enrolment and reads the server's part.
    pub(crate) async fn enrol_start(&self, request: &Request) -> Outcome<EnrolStarted> {
        let Response::EnrolStarted(started) = self.ask(request).await? else { return Err(unexpected()) };
        Ok(started)
    }

    /// Sends the first message of a login and reads the server's part.
    pub(crate) async fn login_start(&self, request: &Request) -> Outcome<LoginStarted> {
        let Response::LoginStarted(started) = self.ask(request).await? else { return Err(unexpected()) };
        Ok(*started)
    }

    /// Sends what ends in a device certificate.
    pub(crate) async fn certified(&self, request: &Request) -> Outcome<Certified> {
        let Response::Certified(certified) = self.ask(request).await? else { return Err(unexpected()) };
        Ok(certified)
    }

    /// Renews a device certificate.
    pub(crate) async fn renew(&self, username: &Username, device: &SecretKey) -> Outcome<Certified> {
        let claim = Claim::Renew { username, peer: &self.handle.peer() };
        self.certified(&Request::Renew(self.prove(username, device, claim))).await
    }

    /// Revokes this device's own certificate.
    pub(crate) async fn revoke(&self, username: &Username, device: &SecretKey) -> Outcome<()> {
        let public = device.public();
        let claim = Claim::Revoke { username, peer: &self.handle.peer(), device: &public };
        let DeviceRequest { username, device, proof } = self.prove(username, device, claim);
        let request = Request::Revoke(Revoke { username, device, target: public, proof });
        let Response::Revoked = self.ask(&request).await? else { return Err(unexpected()) };
        Ok(())
    }

    /// Gets or renews our node certificate: by token, on an account, or because we had one.
    ///
    /// # Errors
    /// Refused, out of reach, or (the server's fault) a certificate that doesn't verify.
    pub(crate) async fn certify_node(
        &self,
        token: Option<[u8; 32]>,
        vouch: Option<(&Username, &SecretKey)>,
        network: &Network,
    ) -> Outcome<NodeCertificate> {
        let vouch = vouch.map(|(username, device)| {
            self.prove(username, device, Claim::Node { username, peer: &self.handle.peer() })
        });
        let request = Request::CertifyNode(CertifyNode { token: token.map(ByteArray::from), vouch });
        let Response::NodeCertified(certified) = self.ask(&request).await? else { return Err(unexpected()) };
        let invalid = |error: callbook_overlay::Invalid| {
            Problem::new(Code::VerificationFailed, format!("the node certificate does not verify: {error}"))
                .hint("is the clock right? is network.toml the newest?")
        };
        let certificate = NodeCertificate::parse(&certified.certificate()).map_err(invalid)?;
        certificate.verify(network, clock::wall(), &Strict).map_err(invalid)?;
        if certificate.node == self.handle.peer() {
            return Ok(certificate);
        }
        Err(Problem::new(Code::VerificationFailed, "the node certificate is for another node"))
    }

    /// Some superpeers.
    pub(crate) async fn seeds(&self) -> Outcome<Vec<Hint>> {
        let count = u8::try_from(SEEDS_MAX).unwrap_or(u8::MAX);
        let Response::Seeds(hints) = self.ask(&Request::Seeds(Seeds { count })).await? else {
            return Err(unexpected());
        };
        // The overlay checks their certificates.
        Ok(hints.iter().filter_map(|bytes| Hint::from_bytes(bytes).ok()).collect())
    }

    /// Where they are.
    pub(crate) fn addresses(&self) -> &[Multiaddr] {
        &self.servers
    }

    /// Has the login server list our metrics for Prometheus, as a certified node or because a device vouches for
    /// us; for how long.
    pub(crate) async fn announce(
        &self,
        port: u16,
        vouch: Option<(&Username, &SecretKey)>,
    ) -> Outcome<Duration> {
        let vouch = vouch.map(|(username, device)| {
            self.prove(username, device, Claim::Announce { username, peer: &self.handle.peer() })
        });
        let request = Request::Announce(Announce { port, vouch });
        let Response::Announced(announced) = self.ask(&request).await? else { return Err(unexpected()) };
        Ok(Duration::from_secs(u64::from(announced.secs)))
    }

    fn prove(&self, username: &Username, device: &SecretKey, claim: Claim<'_>) -> DeviceRequest {
        let proof = claim.sign(&self.network, device);
        DeviceRequest { username: username.to_string(), device: device.public(), proof }
    }

    async fn ask(&self, request: &Request) -> Outcome<Response> {
        let repeatable = !matches!(request, Request::LoginFinish(_));
        let bytes = request.to_bytes();
        let started = Instant::now();
        let answer = loop {
            let error = match self.handle.login(&self.servers, bytes.clone()).await {
                Ok(answer) => break answer,
                Err(error) => error,
            };
            let lost = repeatable && matches!(error, LoginError::Timeout | LoginError::Interrupted);
            let again = lost || matches!(error, LoginError::Unreachable(_));
            if !again || started.elapsed() > RETRY_FOR {
                return Err(unreachable(&error));
            }
            tokio::time::sleep(PAUSE).await;
        };
        match Response::read(&answer) {
            Ok(Response::Refused(refusal)) => Err(refused(refusal)),
            Ok(response) => Ok(response),
            Err(error) => Err(Problem::new(Code::Failed, format!("the login server's answer: {error}"))
                .hint("is callbook older than the server? update it")),
        }
    }
}

fn unreachable(error: &LoginError) -> Problem {
    let code = match error {
        LoginError::Unreachable(_) | LoginError::Timeout | LoginError::Interrupted => Code::LoginUnreachable,
        LoginError::Stopped => Code::NoDaemon,
        LoginError::NoServer | LoginError::TooLarge | LoginError::Refused(_) | _ => Code::Failed,
    };
    Problem::new(code, error.to_string()).hint(
        "look-ups and names that are registered already don't need it; for new names and certificates try \
         again when it is back",
    )
}

fn refused(refusal: Refusal) -> Problem {
    let code = match refusal {
        Refusal::Taken | Refusal::Reserved => Code::NameTaken,
        Refusal::BadUsername => Code::NameInvalid,
        Refusal::Refused | Refusal::StaleSession => Code::LoginRefused,
        Refusal::RateLimited { .. } => Code::RateLimited,
        Refusal::BadToken => Code::TokenRefused,
        Refusal::Uncertified => Code::LoginRequired,
        Refusal::NotRenewable | Refusal::TooManyDevices | Refusal::TooManyNodes => Code::CertificateRefused,
        Refusal::Internal
        | Refusal::Unsupported
        | Refusal::BadProof
        | Refusal::Malformed
        | Refusal::KeyExpiring
        | Refusal::Other(_)
        | _ => Code::Failed,
    };
    Problem::new(code, refusal.to_string()).hint(refusal.hint())
}

fn unexpected() -> Problem {
    Problem::new(Code::Failed, "the login server answered something else than it was asked")
        .hint("is callbook older than the server? update it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_server_that_goes_away_while_it_is_asked_is_unreachable() {
        // Goal: exit 5 for all that a restart of the server mends. Method: each such error.
        let errors = [LoginError::Unreachable("no".into()), LoginError::Timeout, LoginError::Interrupted];
        assert!(errors.iter().all(|error| unreachable(error).code == Code::LoginUnreachable));
    }
}
