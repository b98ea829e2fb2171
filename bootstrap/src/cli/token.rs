//! `token create`: works beside a running server, on the same database.

use std::path::PathBuf;

use clap::Args;

use super::{DataArgs, output, small_runtime};
use crate::clock;
use crate::folder::Folder;
use crate::report::Report;
use crate::token;

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Where to write the token; several files get a token each.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    node: Vec<PathBuf>,
}

pub(super) fn run(args: &CreateArgs, json: bool) -> Result<(), Report> {
    let folder = Folder::new(args.data.data.clone());
    // Without a network there, opening the database would make one.
    folder.load()?;
    small_runtime()?.block_on(async {
        let database = folder.database().await?;
        for path in &args.node {
            token::create(&database, path, clock::wall()).await?;
        }
        database.close().await;
        Ok::<(), Report>(())
    })?;
    let files: Vec<PathBuf> = args.node.iter().map(|path| output::absolute(path)).collect();
    if json {
        output::json(&serde_json::json!({
            "schema_version": crate::report::SCHEMA_VERSION,
            "tokens": files,
            "valid_seconds": crate::limits::TOKEN_LIFE.as_secs(),
        }));
    } else {
        for file in files {
            let file = output::quoted(&file);
            output::text(&format!("{file}: one node, within 24 hours (callbook up --node-token {file} …)\n"));
        }
    }
    Ok(())
}
