//! Enrolment: an account and its first device.

use callbook_login::messages::{EnrolFinish, EnrolStart, EnrolStarted, Response};
use callbook_login::opaque::{OpaqueError, Stretch, password_file};
use callbook_login::{Claim, Refusal};
use callbook_overlay::time::Unix;

use super::{Service, Stop};
use crate::database::{Enrolled, NewAccount};

impl Service {
    pub(super) async fn enrol_start(&self, start: &EnrolStart) -> Result<Response, Stop> {
        let username = Self::free_name(&start.username)?;
        let taken = self.database.conflict(&username).await?;
        // A retried enrolment begins again with its last message, so this one is never a retry.
        if taken.is_some() {
            return Err(Refusal::Taken.into());
        }
        let response = self.keys.enrol_start(&username, &start.request).map_err(opaque)?;
        let stretch = Stretch::of(self.network().limits);
        Ok(Response::EnrolStarted(EnrolStarted { response, stretch }))
    }

    pub(super) async fn enrol_finish(&self, finish: &EnrolFinish, now: Unix) -> Result<Response, Stop> {
        let username = Self::free_name(&finish.username)?;
        self.authority.check(now)?;
        let claim = Claim::Enrol { username: &username, upload: &finish.upload };
        self.check(claim, &finish.device, &finish.proof)?;
        if finish.stretch != Stretch::of(self.network().limits) {
            // The operator changed the limits in between, or the client ignored them.
            return Err(Refusal::StaleSession.into());
        }
        let new = NewAccount {
            username: &username,
            password_file: &password_file(&finish.upload).map_err(opaque)?,
            upload_digest: *blake3::hash(&finish.upload).as_bytes(),
            stretch: finish.stretch,
            device: finish.device,
        };
        let issued = match self.database.enrol(&new, now).await? {
            Enrolled::Conflict(_) => return Err(Refusal::Taken.into()),
            Enrolled::New(issued) => {
                self.metrics.add_account();
                issued
            }
            Enrolled::Again(issued) => issued,
        };
        Ok(Response::Certified(self.authority.device(&username, &finish.device, &issued)))
    }
}

/// What a failed step of the suite means to the asker.
pub(super) fn opaque(error: OpaqueError) -> Stop {
    if error == OpaqueError::Refused {
        Refusal::Refused.into()
    } else if error == OpaqueError::Malformed {
        Refusal::Malformed.into()
    } else {
        Stop::Failed(error.to_string())
    }
}
