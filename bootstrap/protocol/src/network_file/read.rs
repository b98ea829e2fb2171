//! From TOML to facts. Every table is taken apart key by key, so that an unknown key is an error that
//! can name the key that was meant.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use callbook_overlay::certificate::LoginCertificate;
use callbook_overlay::key::{NetworkId, PublicKey};
use callbook_overlay::network::{Limits, Parameters, Scope};
use callbook_overlay::sign::Signature;
use callbook_overlay::time::Unix;
use toml::{Table, Value};

use super::{Draft, ENTRIES_MAX, NetworkFileError, dns_suffix};
use crate::suggest;

const TOP: [&str; 13] = [
    "schema",
    "network_id",
    "name",
    "version",
    "created",
    "scope",
    "limits",
    "dns_suffix",
    "protocol_min",
    "roots",
    "login_certificates",
    "bootstrap",
    "parameters",
];
const PARAMETERS: [&str; 5] = ["k", "r", "alpha", "beta", "d"];
const SIGNATURE: [&str; 2] = ["key", "signature"];

/// The largest parameter that makes sense; a table of this many entries is still small. (guess)
const PARAMETER_MAX: u64 = 128;

/// Reads what is signed.
pub(super) fn content(text: &str) -> Result<(NetworkId, Draft), NetworkFileError> {
    let table = Fields::new(parse(text)?, "", &TOP)?;
    let schema = table.number("schema")?;
    if schema != 1 {
        return Err(value("schema", format!("this program reads schema 1, not {schema}; update it")));
    }
    let id = NetworkId::from_hex(table.text("network_id")?)
        .ok_or_else(|| value("network_id", "64 hexadecimal digits"))?;
    let name = table.text("name")?.to_owned();
    if !is_label(&name) {
        return Err(value("name", NAME_RULE));
    }
    if table.text("dns_suffix")? != dns_suffix(&name) {
        return Err(value("dns_suffix", format!("it is `{}` for this network", dns_suffix(&name))));
    }
    let scope = match table.text("scope")? {
        "local" => Scope::Local,
        "global" => Scope::Global,
        _ => return Err(value("scope", "`local` or `global`")),
    };
    let limits = match table.text("limits")? {
        "normal" => Limits::Normal,
        "lab" => Limits::Lab,
        _ => return Err(value("limits", "`normal` or `lab`")),
    };
    let version = table.number("version")?;
    if version == 0 {
        return Err(value("version", "1 or more"));
    }
    let draft = Draft {
        name,
        version,
        created: Unix::from_secs(table.number("created")?),
        scope,
        limits,
        roots: table.list("roots", root)?,
        login: table.list("login_certificates", login)?,
        bootstrap: table.list("bootstrap", bootstrap)?,
        protocol_min: table.number("protocol_min")?,
        parameters: parameters(&table)?,
    };
    if draft.roots.is_empty() {
        return Err(value("roots", "at least one root key"));
    }
    Ok((id, draft))
}

/// Reads what follows the line `[signature]`.
pub(super) fn signature(text: &str) -> Result<(PublicKey, Signature), NetworkFileError> {
    let table = Fields::new(parse(text)?, "signature.", &SIGNATURE)?;
    let key = PublicKey::from_hex(table.text("key")?).ok_or_else(|| value("key", "64 hexadecimal digits"))?;
    let signature = BASE64.decode(table.text("signature")?).ok().and_then(|bytes| bytes.try_into().ok());
    Ok((key, signature.ok_or_else(|| value("signature", "64 bytes in base64"))?))
}

fn parse(text: &str) -> Result<Table, NetworkFileError> {
    text.parse()
        .map_err(|error: toml::de::Error| NetworkFileError::Syntax(error.to_string().trim_end().to_owned()))
}

fn value(key: &'static str, reason: impl Into<String>) -> NetworkFileError {
    NetworkFileError::Value { key, reason: reason.into() }
}

/// What a network may be called.
pub(super) const NAME_RULE: &str =
    "1 to 32 small letters, digits and single hyphens, beginning with a letter";

pub(super) fn is_label(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && !name.contains("--")
        && !name.ends_with('-')
}

fn root(text: &str) -> Result<PublicKey, &'static str> {
    PublicKey::from_hex(text).ok_or("64 hexadecimal digits each")
}

fn login(text: &str) -> Result<Bytes, &'static str> {
    let bytes = BASE64.decode(text).map(Bytes::from).map_err(|_| "base64 each")?;
    LoginCertificate::parse(&bytes).map_err(|_| "a login certificate each")?;
    Ok(bytes)
}

fn bootstrap(text: &str) -> Result<String, &'static str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if plain && text.starts_with('/') && text.contains("/p2p/") && text.len() <= 256 {
        Ok(text.to_owned())
    } else {
        Err("a multiaddr that names its peer each (…/p2p/<PeerId>)")
    }
}

fn parameters(table: &Fields) -> Result<Parameters, NetworkFileError> {
    let Value::Table(inner) = table.value("parameters")? else { return Err(value("parameters", "a table")) };
    let inner = Fields::new(inner.clone(), "parameters.", &PARAMETERS)?;
    let one = |key| {
        let number = inner.number(key)?;
        match usize::try_from(number) {
            Ok(fits) if (1..=PARAMETER_MAX).contains(&number) => Ok(fits),
            Ok(_) | Err(_) => Err(value(key, format!("1 to {PARAMETER_MAX}"))),
        }
    };
    Ok(Parameters { k: one("k")?, r: one("r")?, alpha: one("alpha")?, beta: one("beta")?, d: one("d")? })
}

/// A table whose keys are all known.
struct Fields(Table);

impl Fields {
    fn new(table: Table, prefix: &str, known: &[&'static str]) -> Result<Self, NetworkFileError> {
        match table.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(NetworkFileError::UnknownKey {
                key: format!("{prefix}{key}"),
                meant: suggest::closest(key, known),
            }),
            None => Ok(Self(table)),
        }
    }

    fn value(&self, key: &'static str) -> Result<&Value, NetworkFileError> {
        self.0.get(key).ok_or(NetworkFileError::Missing(key))
    }

    fn text(&self, key: &'static str) -> Result<&str, NetworkFileError> {
        self.value(key)?.as_str().ok_or_else(|| value(key, "a text in quotes"))
    }

    fn number(&self, key: &'static str) -> Result<u64, NetworkFileError> {
        let number = self.value(key)?.as_integer().and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| value(key, "a whole number, not negative"))
    }

    fn list<T>(
        &self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Result<Vec<T>, NetworkFileError> {
        let entries = self.value(key)?.as_array().ok_or_else(|| value(key, "a list"))?;
        if entries.len() > ENTRIES_MAX {
            return Err(value(key, format!("at most {ENTRIES_MAX} entries")));
        }
        let one = |entry: &Value| {
            entry.as_str().ok_or("texts in quotes").and_then(&read).map_err(|reason| value(key, reason))
        };
        entries.iter().map(one).collect()
    }
}
