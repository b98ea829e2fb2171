//! What `serve` prints once it listens.

use std::path::PathBuf;

use callbook_host::Handle;
use callbook_login::NetworkFile;
use callbook_overlay::network::Limits;

use super::output::{self, Next};
use crate::folder::{Folder, ServerSettings};
use crate::report::SCHEMA_VERSION;

/// The ready block.
pub(super) struct Ready {
    network: String,
    id: String,
    lab: bool,
    peer: String,
    listeners: Vec<String>,
    metrics: Option<String>,
    accounts: i64,
    network_file: PathBuf,
    node_token: PathBuf,
    data: PathBuf,
    next: Next,
}

impl Ready {
    pub(super) fn new(
        folder: &Folder,
        network: &NetworkFile,
        settings: &ServerSettings,
        handle: &Handle,
        accounts: i64,
    ) -> Self {
        let listeners: Vec<String> = handle.listeners().iter().map(ToString::to_string).collect();
        let peer = listeners.first().and_then(|address| address.rsplit("/p2p/").next()).unwrap_or_default();
        Self {
            network: network.facts().name.clone(),
            id: network.id().to_hex(),
            lab: network.facts().limits == Limits::Lab,
            peer: peer.to_owned(),
            metrics: handle.metrics_address().map(|address| format!("http://{address}/metrics")),
            accounts,
            network_file: folder.network(),
            node_token: folder.node_token(),
            data: folder.path().to_owned(),
            next: Next::new(settings.public(), &folder.network(), &folder.node_token()),
            listeners,
        }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "schema_version": SCHEMA_VERSION,
            "event": "ready",
            "network": { "name": self.network, "id": self.id, "limits": if self.lab { "lab" } else { "normal" } },
            "peer": self.peer,
            "listen": self.listeners,
            "metrics": self.metrics,
            "accounts": self.accounts,
            "network_file": self.network_file,
            "node_token": self.node_token,
            "next": { "superpeer": self.next.superpeer, "child": self.next.child },
        })
    }

    pub(super) fn to_text(&self) -> String {
        let lab = if self.lab { " (limits = lab: for demos and tests only)" } else { "" };
        let mut text = format!("Serving network `{}`{lab}\n  peer      {}\n", self.network, self.peer);
        for listener in &self.listeners {
            text.push_str(&format!(
                "  listens   {}\n",
                listener.rsplit_once("/p2p/").map_or(listener.as_str(), |(bare, _)| bare)
            ));
        }
        if let Some(metrics) = &self.metrics {
            text.push_str(&format!("  metrics   {metrics}\n"));
        }
        text.push_str(&format!("  accounts  {}\n\n", self.accounts));
        text.push_str(&self.next.lines(&self.network_file, &self.node_token));
        text.push_str(&format!(
            "More tokens: callbook-bootstrap token create --data {} --node FILE\nCtrl-C stops the server.\n",
            output::quoted(&self.data)
        ));
        text
    }
}
