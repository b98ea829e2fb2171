//! Usernames: what a person is looked up by.
//!
//! The rule is syntax only: `[a-z][a-z0-9-]{2,31}` after ASCII lower-casing, without double or
//! trailing hyphen, so a name is always a DNS label and never an internationalised one (`xn--`).
//!
//! Source: DESIGN §2. *Not here*: reserved names and look-alikes, which only the login server judges.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// A well-formed username, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(String);

/// Why a text is not a username; the user is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsernameError {
    /// The user: shorter than 3 or longer than 32 characters.
    #[error("a username has 3 to 32 characters")]
    Length,
    /// The user: begins with something other than a letter.
    #[error("a username begins with a letter a to z")]
    Start,
    /// The user: holds something other than letters, digits and hyphens.
    #[error("a username holds only letters a to z, digits and hyphens")]
    Character,
    /// The user: two hyphens in a row, or one at the end.
    #[error("a username has no double hyphen and does not end in one")]
    Hyphen,
}

impl Username {
    /// Reads a username as a person types it; capital ASCII letters become small.
    ///
    /// # Errors
    /// [`UsernameError`] says which part of the rule is broken.
    pub fn parse(text: &str) -> Result<Self, UsernameError> {
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(UsernameError::Character);
        }
        if !(3..=32).contains(&text.len()) {
            return Err(UsernameError::Length);
        }
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(UsernameError::Start);
        }
        if text.ends_with('-') || text.contains("--") {
            return Err(UsernameError::Hyphen);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Username {
    type Err = UsernameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl<C> minicbor::Encode<C> for Username {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Username {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::parse(d.str()?).map_err(|_| minicbor::decode::Error::message("not a username"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Username, UsernameError};

    /// Goal: exactly the names of DESIGN §2 pass, in lower case. Method: one example per rule and edge.
    #[test]
    fn names_follow_the_rule_and_become_lower_case() {
        for (text, expected) in [
            ("bob", Ok("bob")),
            ("Alice", Ok("alice")),
            ("a-1-b2", Ok("a-1-b2")),
            ("abcdefghijklmnopqrstuvwxyz012345", Ok("abcdefghijklmnopqrstuvwxyz012345")),
            ("abcdefghijklmnopqrstuvwxyz0123456", Err(UsernameError::Length)),
            ("ab", Err(UsernameError::Length)),
            ("", Err(UsernameError::Length)),
            ("1ab", Err(UsernameError::Start)),
            ("-ab", Err(UsernameError::Start)),
            ("ab-", Err(UsernameError::Hyphen)),
            ("a--b", Err(UsernameError::Hyphen)),
            ("a.b", Err(UsernameError::Character)),
            ("ali ce", Err(UsernameError::Character)),
            ("älice", Err(UsernameError::Character)),
            ("\u{212a}elvin", Err(UsernameError::Character)),
        ] {
            assert_eq!(
                Username::parse(text).as_ref().map(Username::as_str),
                expected.as_ref().copied(),
                "{text}"
            );
        }
    }
}
