//! What a device or node with a certificate may ask: renewal, revocation, the list of devices, and a
//! node certificate.

use callbook_login::messages::{CertifyNode, DeviceEntry, DeviceRequest, NodeCertified, Response, Revoke};
use callbook_login::{Claim, Refusal};
use callbook_overlay::certificate::NodeCertificate;
use callbook_overlay::key::PeerId;
use callbook_overlay::name::Username;
use callbook_overlay::time::Unix;

use super::{Caller, Service, Stop, random};
use crate::database::{Account, Grant};

impl Service {
    pub(super) async fn renew(
        &self,
        caller: &Caller,
        renew: &DeviceRequest,
        now: Unix,
    ) -> Result<Response, Stop> {
        self.authority.check(now)?;
        let (username, account) = self.account(&renew.username).await?;
        let claim = Claim::Renew { username: &username, peer: &caller.peer };
        self.check(claim, &renew.device, &renew.proof)?;
        let issued = self.database.renew_device(account.id, &renew.device, now).await?;
        let issued = issued.ok_or(Refusal::NotRenewable)?;
        Ok(Response::Certified(self.authority.device(&username, &renew.device, &issued)))
    }

    pub(super) async fn revoke(&self, caller: &Caller, revoke: &Revoke, now: Unix) -> Result<Response, Stop> {
        self.authority.check(now)?;
        let (username, account) = self.account(&revoke.username).await?;
        let claim = Claim::Revoke { username: &username, peer: &caller.peer, device: &revoke.target };
        self.check(claim, &revoke.device, &revoke.proof)?;
        // A device may repeat its own revocation, for the answer can get lost; nobody else's.
        let repeats_own = revoke.device == revoke.target;
        if !repeats_own && !self.database.is_live(account.id, &revoke.device).await? {
            return Err(Refusal::NotRenewable.into());
        }
        let sign = |epoch: &_| self.authority.epoch(&username, epoch);
        if !self.database.revoke_device(&username, &revoke.target, now, sign).await? {
            return Err(Refusal::NotRenewable.into());
        }
        self.revoked.notify_one();
        Ok(Response::Revoked)
    }

    pub(super) async fn devices(
        &self,
        caller: &Caller,
        request: &DeviceRequest,
        now: Unix,
    ) -> Result<Response, Stop> {
        let account =
            self.vouched(caller, request, |username, peer| Claim::Devices { username, peer }).await?;
        let devices = self.database.devices(account.id, now).await?;
        let entry = |device: &crate::database::Device| {
            DeviceEntry::new(device.key, device.serial, device.issued, device.not_after)
        };
        Ok(Response::Devices(devices.iter().map(entry).collect()))
    }

    pub(super) async fn certify_node(
        &self,
        caller: &Caller,
        request: &CertifyNode,
        now: Unix,
    ) -> Result<Response, Stop> {
        let (grant, refusal) = match (&request.token, &request.vouch) {
            (Some(token), _) => (Grant::Token(*blake3::hash(&token[..]).as_bytes()), Refusal::BadToken),
            (None, Some(vouch)) => {
                let account =
                    self.vouched(caller, vouch, |username, peer| Claim::Node { username, peer }).await?;
                (Grant::Account(account.id), Refusal::TooManyNodes)
            }
            (None, None) => (Grant::Renewal, Refusal::NotRenewable),
        };
        match self.issue_node(&caller.peer, grant, now).await? {
            Some(certificate) => Ok(Response::NodeCertified(NodeCertified::new(certificate.bytes()))),
            None => Err(refusal.into()),
        }
    }

    async fn issue_node(
        &self,
        peer: &PeerId,
        grant: Grant,
        now: Unix,
    ) -> Result<Option<NodeCertificate>, Stop> {
        self.authority.check(now)?;
        let node = self.database.certify_node(peer, grant, random()?, now).await?;
        Ok(node.map(|node| self.authority.node(peer, &node)))
    }

    /// Whether the peer that asks is a node, or a device's, whose certificate is valid now.
    pub(super) async fn is_certified(
        &self,
        caller: &Caller,
        vouch: Option<&DeviceRequest>,
        now: Unix,
    ) -> Result<bool, Stop> {
        if self.database.is_node(&caller.peer, now).await? {
            return Ok(true);
        }
        let Some(vouch) = vouch else { return Ok(false) };
        let vouched = self.vouched(caller, vouch, |username, peer| Claim::Announce { username, peer });
        let account = match vouched.await {
            Ok(account) => account,
            Err(Stop::Refused(_)) => return Ok(false),
            Err(failed) => return Err(failed),
        };
        let live = self.database.devices(account.id, now).await?;
        Ok(live.iter().any(|device| device.key == vouch.device))
    }

    /// The account for which a live device makes a claim.
    async fn vouched(
        &self,
        caller: &Caller,
        request: &DeviceRequest,
        claim: impl for<'a> Fn(&'a Username, &'a PeerId) -> Claim<'a>,
    ) -> Result<Account, Stop> {
        let (username, account) = self.account(&request.username).await?;
        self.check(claim(&username, &caller.peer), &request.device, &request.proof)?;
        if self.database.is_live(account.id, &request.device).await? {
            Ok(account)
        } else {
            Err(Refusal::NotRenewable.into())
        }
    }

    /// The account of that name; that there is none is told like a device that isn't its.
    async fn account(&self, username: &str) -> Result<(Username, Account), Stop> {
        let username = Username::parse(username).map_err(|_| Refusal::BadUsername)?;
        let account = self.database.account(&username).await?.ok_or(Refusal::NotRenewable)?;
        Ok((username, account))
    }
}
