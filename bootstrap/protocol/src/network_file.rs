//! `network.toml`: the signed file that makes a network.
//!
//! Decides whether a text is the file of a network: well-formed, complete, without unknown keys, signed
//! by one of its own roots, and true to its id. The signature covers every byte before the line
//! `[signature]`, and only those bytes are read as the content, so nothing after them can change it.
//! The id is `blake3(root keys ‖ name ‖ created)` of the first version and never changes; root keys
//! can't be replaced yet, so every version is checked against its own.
//!
//! Source: DESIGN §2, DETAILS *Commands*. *Not here*: where the file lies, `network.secret`.

mod read;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use callbook_overlay::key::{NetworkId, PublicKey};
use callbook_overlay::network::{Limits, Network, Parameters, Scope};
use callbook_overlay::sign::{Signer, Strict, Tag, Verifier as _, to_sign};
use callbook_overlay::time::Unix;

/// The protocol version that this program speaks, as `protocol_min` counts it. (specification)
pub const PROTOCOL_VERSION: u64 = 1;

/// Bytes that a network file may have: as a frame of the overlay. (specification)
pub const FILE_BYTES_MAX: usize = 65_536;

/// Root keys, login certificates and bootstrap addresses that a file may name, of each. (guess)
const ENTRIES_MAX: usize = 64;

/// Why a text is not the file of a network, or not one that may replace another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkFileError {
    /// The user: not TOML, or too long.
    #[error("the network file cannot be read: {0}")]
    Syntax(String),
    /// The user: a key that this program doesn't know.
    #[error("the network file has an unknown key `{key}`{}", .meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key, with its table.
        key: String,
        /// What it was probably meant to be.
        meant: Option<&'static str>,
    },
    /// The user: a key is missing.
    #[error("the network file has no `{0}`")]
    Missing(&'static str),
    /// The user: a value doesn't fit.
    #[error("`{key}` in the network file does not fit: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// What would fit.
        reason: String,
    },
    /// The network's operator, or whoever changed the file: the signature doesn't hold.
    #[error("the signature of the network file does not hold: {0}")]
    Signature(&'static str),
    /// The network's operator, or whoever changed the file: the id is not that of roots, name and time.
    #[error("the network id does not belong to these root keys, name and creation time")]
    Identity,
    /// The user: the network asks for a newer program.
    #[error("this network needs protocol version {needed}; this program speaks {PROTOCOL_VERSION}")]
    TooNew {
        /// What it needs.
        needed: u64,
    },
    /// The user: the file of another network.
    #[error("this is the file of another network: `{new}` instead of `{old}`")]
    OtherNetwork {
        /// The network that is remembered.
        old: String,
        /// The network of the new file.
        new: String,
    },
    /// The user: an older version than the one in use.
    #[error("this network file has version {new}, older than version {old} in use")]
    Older {
        /// The version in use.
        old: u64,
        /// The version of the new file.
        new: u64,
    },
    /// The network's operator: the same version twice, with different content.
    #[error("two different network files carry version {0}")]
    Conflict(u64),
    /// The network's operator, or whoever made the file: signed by a key that the file in use doesn't name.
    #[error("the new network file is signed by a key that the one in use does not name as root")]
    Stranger,
}

impl NetworkFileError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Syntax(_) | Self::Missing(_) | Self::Signature(_) | Self::Identity => {
                "the file must be used exactly as the operator handed it out: fetch it again"
            }
            Self::UnknownKey { .. } | Self::Value { .. } => {
                "fetch the file again; if it is unchanged, this program may be too old for it"
            }
            Self::TooNew { .. } => "update this program",
            Self::OtherNetwork { .. } => "use another data folder (`--data DIR`) for another network",
            Self::Older { .. } => "leave `--network` out to go on with the newer one, or fetch the newest",
            Self::Conflict(_) | Self::Stranger => "ask the network's operator which file is the right one",
        }
    }
}

/// A network's facts before they are signed.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its name: a DNS label.
    pub name: String,
    /// 1 for a new network, then counting up.
    pub version: u64,
    /// When the network was made; part of its id.
    pub created: Unix,
    /// Which addresses count.
    pub scope: Scope,
    /// Which limits hold.
    pub limits: Limits,
    /// The keys that certify login keys.
    pub roots: Vec<PublicKey>,
    /// Login certificates as they travel.
    pub login: Vec<Bytes>,
    /// Multiaddrs of login/bootstrap servers, each ending in `/p2p/<PeerId>`.
    pub bootstrap: Vec<String>,
    /// The oldest protocol version that is spoken there.
    pub protocol_min: u64,
    /// The parameters of the overlay.
    pub parameters: Parameters,
}

/// The file of a network; holds only if its signature and id do.
#[derive(Debug, Clone)]
pub struct NetworkFile {
    id: NetworkId,
    draft: Draft,
    signer: PublicKey,
    text: String,
}

/// Whether a network may be called so: it becomes a DNS label.
///
/// # Errors
/// The user: the rule, as text.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if read::is_label(name) { Ok(()) } else { Err(read::NAME_RULE) }
}

/// What a new file is to the one in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// The same file.
    Same,
    /// A newer version of it.
    Newer,
}

/// Names a network for ever.
///
/// # Source
/// DESIGN §2: `blake3(first root keys ‖ name ‖ created)`, `created` as a big-endian u64.
#[must_use]
pub fn network_id(roots: &[PublicKey], name: &str, created: Unix) -> NetworkId {
    let mut hasher = blake3::Hasher::new();
    for root in roots {
        hasher.update(root.as_bytes());
    }
    hasher.update(name.as_bytes()).update(&created.as_secs().to_be_bytes());
    NetworkId::from_bytes(*hasher.finalize().as_bytes())
}

impl Draft {
    /// The network's id.
    #[must_use]
    pub fn id(&self) -> NetworkId {
        network_id(&self.roots, &self.name, self.created)
    }

    /// Writes and signs the file.
    ///
    /// # Errors
    /// The user: what [`NetworkFile::parse`] would refuse, such as a name that is no DNS label.
    pub fn sign(&self, root: &dyn Signer) -> Result<NetworkFile, NetworkFileError> {
        let mut text = self.content();
        let signature = root.sign(&to_sign(Tag::Network, &self.id(), text.as_bytes()));
        // Writing to a String can't fail.
        write!(
            text,
            "{SIGNATURE_LINE}\nkey = \"{}\"\nsignature = \"{}\"\n",
            root.public(),
            BASE64.encode(signature)
        )
        .ok();
        NetworkFile::parse(&text)
    }

    fn content(&self) -> String {
        let list = |entries: Vec<String>| {
            let lines: String = entries.iter().map(|entry| format!("  \"{entry}\",\n")).collect();
            if lines.is_empty() { String::from("[]") } else { format!("[\n{lines}]") }
        };
        let Parameters { k, r, alpha, beta, d } = self.parameters;
        format!(
            "# The network file of `{name}`. Signed: any change makes it invalid.\n\
             schema = 1\n\
             network_id = \"{id}\"\n\
             name = \"{name}\"\n\
             version = {version}\n\
             created = {created}\n\
             scope = \"{scope}\"\n\
             limits = \"{limits}\"\n\
             dns_suffix = \"{suffix}\"\n\
             protocol_min = {protocol_min}\n\
             roots = {roots}\n\
             login_certificates = {login}\n\
             bootstrap = {bootstrap}\n\
             \n\
             [parameters]\n\
             k = {k}\nr = {r}\nalpha = {alpha}\nbeta = {beta}\nd = {d}\n\
             \n",
            name = self.name,
            id = self.id(),
            version = self.version,
            created = self.created.as_secs(),
            scope = match self.scope {
                Scope::Local => "local",
                Scope::Global => "global",
            },
            limits = match self.limits {
                Limits::Normal => "normal",
                Limits::Lab => "lab",
            },
            suffix = dns_suffix(&self.name),
            protocol_min = self.protocol_min,
            roots = list(self.roots.iter().map(ToString::to_string).collect()),
            login = list(self.login.iter().map(|certificate| BASE64.encode(certificate)).collect()),
            bootstrap = list(self.bootstrap.clone()),
        )
    }
}

impl NetworkFile {
    /// Reads a network file and checks it.
    ///
    /// # Errors
    /// The user or the network's operator: see [`NetworkFileError`].
    pub fn parse(text: &str) -> Result<Self, NetworkFileError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(NetworkFileError::Syntax(format!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        let (content, signature) = split(text)?;
        let (id, draft) = read::content(content)?;
        let (signer, signature) = read::signature(signature)?;
        if draft.protocol_min > PROTOCOL_VERSION {
            return Err(NetworkFileError::TooNew { needed: draft.protocol_min });
        }
        if !draft.roots.contains(&signer) {
            return Err(NetworkFileError::Signature("it is not made by one of the root keys in the file"));
        }
        if !Strict.verify(&signer, &to_sign(Tag::Network, &id, content.as_bytes()), &signature) {
            return Err(NetworkFileError::Signature("the file was changed after it was signed"));
        }
        if draft.id() != id {
            return Err(NetworkFileError::Identity);
        }
        Ok(Self { id, draft, signer, text: text.to_owned() })
    }

    /// Whether this file may take the place of `old`.
    ///
    /// # Errors
    /// The user or the network's operator: another network, an older version, or another content
    /// under the same version.
    pub fn check_replaces(&self, old: &Self) -> Result<Replaces, NetworkFileError> {
        if self.id != old.id {
            let named = |file: &Self| format!("{} ({})", file.draft.name, file.id.short());
            return Err(NetworkFileError::OtherNetwork { old: named(old), new: named(self) });
        }
        if !old.draft.roots.contains(&self.signer) {
            return Err(NetworkFileError::Stranger);
        }
        let (old_version, new_version) = (old.draft.version, self.draft.version);
        match new_version.cmp(&old_version) {
            std::cmp::Ordering::Less => Err(NetworkFileError::Older { old: old_version, new: new_version }),
            std::cmp::Ordering::Equal if self.content() != old.content() => {
                Err(NetworkFileError::Conflict(old_version))
            }
            std::cmp::Ordering::Equal => Ok(Replaces::Same),
            std::cmp::Ordering::Greater => Ok(Replaces::Newer),
        }
    }

    /// What the overlay needs of it.
    #[must_use]
    pub fn to_network(&self) -> Network {
        Network {
            id: self.id,
            version: self.draft.version,
            roots: self.draft.roots.clone(),
            login: self.draft.login.clone(),
            secret: None,
            scope: self.draft.scope,
            limits: self.draft.limits,
            parameters: self.draft.parameters,
        }
    }

    /// The network's id.
    #[must_use]
    pub fn id(&self) -> NetworkId {
        self.id
    }

    /// The facts that are signed.
    #[must_use]
    pub fn facts(&self) -> &Draft {
        &self.draft
    }

    /// Where names of this network live in the DNS: `<network>.callbook.alt`.
    #[must_use]
    pub fn dns_suffix(&self) -> String {
        dns_suffix(&self.draft.name)
    }

    /// The file as it was read: what to hand out and to keep.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn content(&self) -> &str {
        split(&self.text).map_or("", |(content, _)| content)
    }
}

/// The line that ends what is signed.
const SIGNATURE_LINE: &str = "[signature]";

/// What is signed, and what comes after.
fn split(text: &str) -> Result<(&str, &str), NetworkFileError> {
    let mut start = 0;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == SIGNATURE_LINE {
            found = Some((start, start + line.len()));
        }
        start += line.len();
    }
    let (end, after) = found.ok_or(NetworkFileError::Missing(SIGNATURE_LINE))?;
    Ok((&text[..end], &text[after..]))
}

fn dns_suffix(name: &str) -> String {
    format!("{name}.callbook.alt")
}

#[cfg(test)]
mod tests;
