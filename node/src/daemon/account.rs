//! Names on this daemon: enrol, login, logout, register, and renewal of their certificates.
//!
//! The password goes through OPAQUE here and never further; it is stretched off the runtime. A device
//! key is on disk before its certificate is used. Changes to one name wait for each other (`turns`).

use std::sync::Arc;
use std::time::Duration;

use callbook_login::messages::Certified;
use callbook_login::opaque::{Enrolment, LoginAttempt, OpaqueError};
use callbook_overlay::api::{Command, Stored};
use callbook_overlay::certificate::DeviceCertificate;
use callbook_overlay::limits::{DISPLAY_BYTES_MAX, TTL_MAX, TTL_MIN};
use callbook_overlay::name::{Username, UsernameError};
use callbook_overlay::sign::{SecretKey, Signer};
use precis_profiles::Nickname;
use precis_profiles::precis_core::profile::PrecisFastInvocation as _;

use super::folder::new_key;
use super::names::Name;
use super::state::{Daemon, run_blocking};
use crate::clock::rfc3339;
use crate::entry;
use crate::exit::Code;
use crate::problem::{Outcome, Problem};
use crate::view::{self, Credentials, Enrolled, LoggedOut, Publish, Registered};

/// Fewest characters of a new password. Specification: DETAILS *Accounts*.
const PASSWORD_CHARACTERS_MIN: usize = 10;

/// Reads a username.
pub(super) fn username(text: &str) -> Outcome<Username> {
    Username::parse(text).map_err(|error: UsernameError| {
        Problem::new(Code::NameInvalid, format!("\"{text}\" is not a username: {error}"))
            .hint("3 to 32 letters, digits and hyphens, beginning with a letter, no double or final hyphen")
    })
}

impl Daemon {
    /// Creates an account with this device as its first.
    pub(super) async fn enrol(self: &Arc<Self>, credentials: Credentials) -> Outcome<Enrolled> {
        let username = username(&credentials.name)?;
        let _turn = self.turns.take(&username).await;
        if self.names.find(&username).is_some() {
            let message = format!("this daemon holds {username} already");
            return Err(Problem::new(Code::NameHeld, message).hint("callbook status shows it"));
        }
        let password = &credentials.password.0;
        if password.chars().count() < PASSWORD_CHARACTERS_MIN {
            let message = format!("the password has fewer than {PASSWORD_CHARACTERS_MIN} characters");
            return Err(Problem::new(Code::PasswordShort, message).hint("choose a longer one"));
        }
        let device = new_key()?;
        let (enrolment, request) =
            Enrolment::start(&self.network, &username, password.as_bytes()).map_err(|error| suite(&error))?;
        let started = self.server.enrol_start(&request).await?;
        let signer = device.clone();
        let request = self.stretch(move || enrolment.finish(&started, &signer)).await?;
        let certified = self.server.certified(&request.map_err(|error| suite(&error))?).await?;
        let chain = self.checked(&username, &device, &certified)?;
        self.begin(&username, Name::new(device, chain), &credentials).await
    }

    /// Certifies this device as a further one of an account, or again.
    pub(super) async fn login(self: &Arc<Self>, credentials: Credentials) -> Outcome<Enrolled> {
        let username = username(&credentials.name)?;
        let _turn = self.turns.take(&username).await;
        let held = self.names.find(&username);
        let device = held.as_ref().map_or_else(new_key, |name| Ok(name.device.clone()))?;
        let (attempt, request) =
            LoginAttempt::start(&self.network, &username, credentials.password.0.as_bytes())
                .map_err(|error| suite(&error))?;
        let started = self.server.login_start(&request).await?;
        let signer = device.clone();
        let request = self.stretch(move || attempt.finish(&started, &signer)).await?;
        let certified = self.server.certified(&request.map_err(|error| suite(&error))?).await?;
        let chain = self.checked(&username, &device, &certified)?;
        let name = match held {
            Some(name) => Name { chain, ..name },
            None => Name::new(device, chain),
        };
        self.begin(&username, name, &credentials).await
    }

    /// Stretches a password, when it is its turn.
    async fn stretch<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
        // Nobody closes it; without a permit the work is done all the same.
        let _permit = self.stretches.acquire().await.ok();
        run_blocking(work).await
    }

    /// Keeps a certified name, and publishes it if that was asked for.
    async fn begin(
        self: &Arc<Self>,
        username: &Username,
        mut name: Name,
        credentials: &Credentials,
    ) -> Outcome<Enrolled> {
        if let Some(display) = &credentials.display {
            name.display = display_name(display)?;
        }
        name.publish |= credentials.register;
        self.keep(username, name.clone()).await?;
        self.trouble(username.as_str(), None);
        self.vouched.notify_one();
        let registered = match name.publish {
            true => Some(stored(self.publish(username, &name).await?)),
            false => None,
        };
        Ok(Enrolled {
            name: username.to_string(),
            device: name.device_hex(),
            certificate_until: rfc3339(name.certificate_until()),
            registered,
        })
    }

    /// Publishes a name with new content, and from now on.
    pub(super) async fn register(self: &Arc<Self>, text: &str, publish: Publish) -> Outcome<Registered> {
        let username = username(text)?;
        let _turn = self.turns.take(&username).await;
        let mut name = self.held(&username)?;
        if let Some(display) = &publish.display {
            name.display = display_name(display)?;
        }
        if let Some(entries) = &publish.entries {
            name.entries = entries.iter().map(|text| entry::parse(text)).collect::<Outcome<_>>()?;
        }
        if let Some(seconds) = publish.ttl_secs {
            let ttl = Duration::from_secs(seconds);
            if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
                let message = format!("a ttl of {} is not possible", humantime::format_duration(ttl));
                return Err(Problem::new(Code::Usage, message).hint("it is 30s to 1h"));
            }
            name.ttl = ttl;
        }
        let before = self.held(&username)?;
        name.publish = true;
        self.keep(&username, name.clone()).await?;
        match self.publish(&username, &name).await {
            Ok(count) => {
                let (device, stored) = (name.device_hex(), stored(count));
                Ok(Registered { name: username.to_string(), device, stored })
            }
            // What can't be signed must not stay on disk, or no later start could publish the name.
            Err(problem) if problem.code == Code::Usage => {
                self.keep(&username, before.clone()).await?;
                if before.publish {
                    self.publish(&username, &before).await?;
                }
                Err(problem)
            }
            Err(problem) => Err(problem),
        }
    }

    /// Revokes this device's certificate and forgets the name.
    pub(super) async fn logout(self: &Arc<Self>, text: &str, local: bool) -> Outcome<LoggedOut> {
        let username = username(text)?;
        let _turn = self.turns.take(&username).await;
        let name = self.held(&username)?;
        if !local {
            match self.server.revoke(&username, &name.device).await {
                Ok(()) => {}
                // Revoked from elsewhere, or ended: nothing is left to revoke.
                Err(problem) if problem.code == Code::CertificateRefused => {
                    tracing::info!("the certificate had ended already");
                }
                Err(problem) => {
                    let hint = "try again later, or forget the name here alone: callbook logout --local";
                    return Err(if problem.code == Code::LoginUnreachable {
                        problem.hint(hint)
                    } else {
                        problem
                    });
                }
            }
        }
        self.command(Command::Release(self.network.name_key(&username))).await?;
        let (daemon, forgotten) = (Arc::clone(self), username.clone());
        run_blocking(move || daemon.names.forget(&forgotten)).await??;
        self.trouble(username.as_str(), None);
        self.trouble(&format!("{username} rejected"), None);
        Ok(LoggedOut { name: username.to_string(), revoked: !local })
    }

    /// Renews a name's certificate and publishes with it.
    pub(super) async fn renew(self: &Arc<Self>, username: &Username) -> Outcome<()> {
        let _turn = self.turns.take(username).await;
        let name = self.held(username)?;
        let certified = self.server.renew(username, &name.device).await?;
        let chain = self.checked(username, &name.device, &certified)?;
        let name = Name { chain, ..name };
        self.keep(username, name.clone()).await?;
        if name.publish {
            self.publish(username, &name).await?;
        }
        Ok(())
    }

    fn held(&self, username: &Username) -> Outcome<Name> {
        self.names.find(username).ok_or_else(|| {
            Problem::new(Code::LoginRequired, format!("this daemon doesn't hold {username}"))
                .hint(format!("log in: callbook login {username}; or create it: callbook enrol {username}"))
        })
    }

    /// The chain, if it certifies this device for this name.
    fn checked(
        &self,
        username: &Username,
        device: &SecretKey,
        certified: &Certified,
    ) -> Outcome<Vec<bytes::Bytes>> {
        let fits = DeviceCertificate::parse(&certified.device()).is_ok_and(|certificate| {
            certificate.device == device.public() && certificate.name == self.network.name_key(username)
        });
        if fits {
            return Ok(certified.chain());
        }
        Err(Problem::new(
            Code::VerificationFailed,
            "the login server certified something else than this device",
        ))
    }
}

/// A display name as RFC 8266 prepares and enforces it: compatible forms of characters unified, no spaces
/// around and one between, nothing that isn't to be seen.
fn display_name(text: &str) -> Outcome<String> {
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    let display = Nickname::enforce(text).map_err(|error| {
        let what = match error {
            precis_profiles::precis_core::Error::BadCodepoint(found) => {
                format!("U+{:04X} can't be part of a display name", found.cp)
            }
            precis_profiles::precis_core::Error::Invalid
            | precis_profiles::precis_core::Error::Unexpected(_) => "that can't be a display name".to_owned(),
        };
        Problem::new(Code::Usage, what)
            .hint("letters, digits, punctuation, symbols and spaces can (RFC 8266)")
    })?;
    if display.len() > DISPLAY_BYTES_MAX {
        let message =
            format!("a display name has at most {DISPLAY_BYTES_MAX} bytes, this one {}", display.len());
        return Err(Problem::new(Code::Usage, message).hint("choose a shorter one"));
    }
    Ok(display.into_owned())
}

fn stored(stored: Stored) -> view::Stored {
    view::Stored { stored: stored.stored, of: stored.of }
}

fn suite(error: &OpaqueError) -> Problem {
    match error {
        OpaqueError::Refused => Problem::new(Code::LoginRefused, error.to_string())
            .hint("check the name and the password; callbook enrol NAME creates an account"),
        OpaqueError::Stretch { .. } | OpaqueError::Malformed => {
            Problem::new(Code::VerificationFailed, error.to_string())
                .hint("don't enter the password again before the network's operator has explained this")
        }
        OpaqueError::Internal(_) | _ => Problem::new(Code::Internal, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_are_prepared_and_what_can_not_be_seen_is_refused() {
        // Goal: RFC 8266: spaces, compatible forms, whole scripts; no controls, no direction overrides, not
        // too long. Method: examples.
        let good = [
            ("  Alice\u{a0} \u{3000}A. ", "Alice A."),
            ("\u{ff21}lice", "Alice"),
            ("e\u{301}", "\u{e9}"),
            ("李 小龍 ☎", "李 小龍 ☎"),
            (" ", ""),
        ];
        for (typed, kept) in good {
            assert_eq!(display_name(typed).unwrap(), kept);
        }
        for bad in ["a\u{7}b", "a\u{202e}b", "a\u{200b}b", "a\nb", "\u{ad}"] {
            assert_eq!(display_name(bad).unwrap_err().code, Code::Usage, "{bad:?}");
        }
        assert!(display_name("a\u{202e}b").unwrap_err().message.contains("U+202E"));
        assert!(display_name(&"x".repeat(DISPLAY_BYTES_MAX + 1)).is_err());
    }
}
