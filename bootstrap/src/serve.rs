//! Runs the service behind a host, and keeps the server's own node certified.
//!
//! Calls come from the host's one-worker runtime through a bounded channel and are worked on here, at
//! most [`REQUESTS_MAX`] at once; what comes beyond waits in the channel, and the host refuses when that
//! is full.

use std::sync::Arc;
use std::time::Duration;

use callbook_host::{Handle, LoginCall};
use callbook_overlay::api::{Command, Neighbour, Relation, Reply, Role};
use callbook_overlay::certificate::{NodeCertificate, RENEW_BELOW};
use callbook_overlay::key::PeerId;
use callbook_overlay::time::Unix;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::authority::Authority;
use crate::clock::Clock;
use crate::database::{Database, Grant};
use crate::limits::REQUESTS_MAX;
use crate::service::{Caller, Service};

/// How often the own certificate's age is looked at. (guess)
const RENEW_EVERY: Duration = Duration::from_secs(600);

/// How often superpeers are counted. (guess: at 16,384 of them it takes milliseconds)
const MEASURE_EVERY: Duration = Duration::from_secs(15);

/// Answers login calls until the host stops.
pub async fn calls(mut calls: mpsc::Receiver<LoginCall>, service: Arc<Service>) {
    let mut running = JoinSet::new();
    while let Some(call) = calls.recv().await {
        while running.len() >= REQUESTS_MAX {
            drop(running.join_next().await);
        }
        while running.try_join_next().is_some() {}
        let service = Arc::clone(&service);
        running.spawn(async move {
            let caller = Caller { peer: call.peer, address: call.address };
            let answer = service.serve(&caller, &call.request).await;
            if call.reply.send(answer).is_err() {
                tracing::debug!("the asker is gone");
            }
        });
    }
}

/// Shows how many superpeers are known, and heard of lately; never returns.
pub async fn measure(handle: Handle, service: Arc<Service>) {
    loop {
        if let (Ok(Reply::Peers(peers)), Ok(Reply::Status(status))) =
            (handle.command(Command::Peers).await, handle.command(Command::Status).await)
        {
            // And itself.
            let linked = |peer: &&Neighbour| peer.relation == Relation::Superpeer && peer.linked;
            let fresh = peers.iter().filter(linked).count() + 1;
            service.metrics().set_superpeers(fresh, status.superpeers.saturating_sub(fresh));
        }
        tokio::time::sleep(MEASURE_EVERY).await;
    }
}

/// Certifies the server's own node.
///
/// # Errors
/// The network's operator: the login key is not valid or about to expire. The user: the database or the
/// machine failed.
pub async fn certify_own(
    authority: &Authority,
    database: &Database,
    peer: &PeerId,
    now: Unix,
) -> Result<NodeCertificate, String> {
    authority.check(now).map_err(|refusal| refusal.to_string())?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| format!("no random bytes: {error}"))?;
    let node =
        database.certify_node(peer, Grant::Own, nonce, now).await.map_err(|error| error.to_string())?;
    Ok(authority.node(peer, &node.ok_or("the own node was refused a certificate")?))
}

/// Renews the own node's certificate in time; never returns.
pub async fn keep_certified(
    authority: Arc<Authority>,
    database: Database,
    handle: Handle,
    mut not_after: Unix,
    clock: Clock,
) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let now = clock().unix;
        if now + RENEW_BELOW < not_after {
            continue;
        }
        match certify_own(&authority, &database, &handle.peer(), now).await {
            Ok(certificate) => {
                not_after = certificate.not_after;
                if handle.command(Command::Act(Role::Superpeer(certificate))).await.is_ok() {
                    tracing::info!("the server's own node certificate is renewed");
                }
            }
            Err(reason) => tracing::warn!(reason, "the server's own node certificate is not renewed"),
        }
    }
}

#[cfg(test)]
mod tests;
