//! What goes to stdout.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;

/// Prints text; a closed stdout is nobody's business.
pub(super) fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

/// Prints a JSON document on one line.
pub(super) fn json(document: &serde_json::Value) {
    text(&format!("{document}\n"));
}

/// What to type on the other machines, for a child and for a superpeer.
pub(super) struct Next {
    pub(super) child: String,
    pub(super) superpeer: String,
    /// Whether the network is on this machine alone.
    pub(super) here: bool,
}

impl Next {
    /// For a server that others dial at `public`, with the files to hand out.
    pub(super) fn new(public: IpAddr, network: &Path, token: &Path) -> Self {
        let here = public.is_loopback();
        if here {
            let (network, token) = (quoted(network), quoted(token));
            let listen = std::net::SocketAddr::new(public, 0);
            Self {
                child: format!("callbook up --network {network}"),
                superpeer: format!("callbook up --network {network} --node-token {token} --listen {listen}"),
                here,
            }
        } else {
            Self {
                child: "callbook up --network network.toml".into(),
                superpeer:
                    "callbook up --network network.toml --node-token node.token --listen THAT_MACHINE:4001"
                        .into(),
                here,
            }
        }
    }

    /// The lines for people.
    pub(super) fn lines(&self, network: &Path, token: &Path) -> String {
        let Self { child, superpeer, here } = self;
        let where_ = if *here {
            "In another terminal (for several peers on this machine add --data DIR to each):\n".into()
        } else {
            format!(
                "On another machine, after copying {} there (and {}, once, for a superpeer):\n",
                network.display(),
                token.display()
            )
        };
        format!("{where_}  {superpeer}    # a superpeer\n  {child}    # any other peer\n")
    }
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+:@,".contains(&byte)) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A path that works from every folder.
pub(super) fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
