//! Node tokens: one file lets one node become a superpeer.
//!
//! The database knows only the hash. *Not here*: their use ([`crate::service`]).

use std::path::Path;

use callbook_login::key_file;
use callbook_overlay::time::Unix;

use crate::database::Database;
use crate::limits::TOKEN_LIFE;
use crate::report::Report;

/// Makes a token and writes it to a private file, which must not exist yet.
///
/// # Errors
/// The user: the file exists or can't be written, or the database failed.
pub async fn create(database: &Database, path: &Path, now: Unix) -> Result<(), Report> {
    if path.exists() {
        return Err(Report::new("file_exists", format!("{} exists already", path.display()))
            .hint("a token is never overwritten: choose another name or remove the file"));
    }
    let mut token = [0; 32];
    getrandom::fill(&mut token)
        .map_err(|error| Report::new("entropy", format!("no random bytes: {error}")))?;
    let hash = blake3::hash(&token);
    database
        .add_token(hash.as_bytes(), now, now + TOKEN_LIFE)
        .await
        .map_err(|error| Report::new("database", error.to_string()).hint(crate::folder::DATABASE_HINT))?;
    Ok(key_file::write_secret(path, key_file::NODE_TOKEN, &token)?)
}
