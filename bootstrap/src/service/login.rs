//! Login: a further device of an account.
//!
//! The first answer is the same, byte for byte in length, whether the account exists or not, and a
//! wrong password shows only at the client, which then doesn't send the second message; so attempts are
//! counted at the first message, and given back by a success.

use callbook_login::messages::{LoginFinish, LoginStart, LoginStarted, Response};
use callbook_login::opaque::{Stretch, device_seal_fits, login_finish};
use callbook_login::{Claim, Refusal};
use callbook_overlay::name::Username;
use callbook_overlay::time::{Instant, Now};

use super::enrol::opaque;
use super::sessions::Session;
use super::{Caller, Service, Stop, limited, lock, random};

impl Service {
    pub(super) async fn login_start(
        &self,
        caller: &Caller,
        start: &LoginStart,
        now: Instant,
    ) -> Result<Response, Stop> {
        let username = Username::parse(&start.username).map_err(|_| Refusal::BadUsername)?;
        if let Some(limiters) = &self.limiters {
            let name = username.as_str().as_bytes();
            lock(limiters).logins_by_account.take(name, now).map_err(limited)?;
        }
        let account = self.database.account(&username).await?;
        let file = account.as_ref().map(|account| account.password_file.as_slice());
        let (state, response) =
            self.keys.login_start(&self.network().id, &username, file, &start.request).map_err(opaque)?;
        let stretch =
            account.as_ref().map_or_else(|| Stretch::of(self.network().limits), |account| account.stretch);
        let account = account.map(|account| account.id);
        let session = random()?;
        lock(&self.sessions)
            .add(session, Session { peer: caller.peer, username, account, state, begun: now })?;
        Ok(Response::LoginStarted(Box::new(LoginStarted { session, response, stretch })))
    }

    pub(super) async fn login_finish(
        &self,
        caller: &Caller,
        finish: &LoginFinish,
        now: Now,
    ) -> Result<Response, Stop> {
        let session = lock(&self.sessions)
            .take(&finish.session, &caller.peer, now.instant)
            .ok_or(Refusal::StaleSession)?;
        let Session { username, account, state, .. } = session;
        let key =
            login_finish(&self.network().id, &username, &state, &finish.finalization).map_err(opaque)?;
        if !device_seal_fits(key.as_bytes(), &finish.device, &finish.session, &finish.seal) {
            return Err(Refusal::Refused.into());
        }
        let claim = Claim::Login { username: &username, session: &finish.session };
        self.check(claim, &finish.device, &finish.proof)?;
        let account = account.ok_or(Refusal::Refused)?;
        self.authority.check(now.unix)?;
        let issued = self.database.certify_device(account, &finish.device, now.unix).await?;
        let issued = issued.ok_or(Refusal::TooManyDevices)?;
        if let Some(limiters) = &self.limiters {
            lock(limiters).logins_by_account.give_back(username.as_str().as_bytes());
        }
        Ok(Response::Certified(self.authority.device(&username, &finish.device, &issued)))
    }
}
