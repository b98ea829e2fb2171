//! `init`: a new network.
//!
//! Everything is written before `network.toml`, so a folder with that file is complete. The port is
//! picked here, free for TCP and UDP, and fixed: it is in the signed file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use callbook_host::libp2p::identity::{PublicKey, ed25519};
use callbook_login::files::{self, FolderLock};
use callbook_login::network_file::{Draft, PROTOCOL_VERSION, check_name, network_id};
use callbook_login::opaque::ServerKeys;
use callbook_login::{NetworkFile, key_file, suggest};
use callbook_overlay::certificate::{LOGIN_LIFE, LoginCertificate};
use callbook_overlay::network::{Limits, Parameters, Scope};
use callbook_overlay::sign::{SecretKey, Signer as _};
use clap::{Args, ValueEnum};

use super::output::{self, Next};
use super::{DataArgs, small_runtime};
use crate::folder::{Folder, ServerSettings};
use crate::report::{Exit, FOLDER_HINT, Report, SCHEMA_VERSION};
use crate::{clock, token};

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The network's name: small letters, digits, hyphens.
    #[arg(long, value_name = "NAME", value_parser = name)]
    network: String,
    /// Where to listen; without a port (or with port 0) a free one is picked.
    #[arg(long, value_name = "IP[:PORT]", default_value = "127.0.0.1", value_parser = listen)]
    listen: Listen,
    /// The address that others dial, if it is not the one listened on.
    #[arg(long, value_name = "IP")]
    advertise: Option<IpAddr>,
    /// Which addresses count: of one machine or local network, or only global ones.
    #[arg(long, value_enum, default_value = "local")]
    scope: ScopeArg,
    /// `lab`: cheap password stretch and no rate limits, for demos and tests on one machine.
    #[arg(long, value_enum, default_value = "normal")]
    limits: LimitsArg,
    /// A parameter of the overlay: k, r, alpha, beta or d.
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., value_parser = setting)]
    set: Vec<(&'static str, usize)>,
}

#[derive(Debug, Clone, Copy)]
struct Listen(IpAddr, u16);

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeArg {
    Local,
    Global,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LimitsArg {
    Normal,
    Lab,
}

pub(super) fn run(args: &InitArgs, json: bool) -> Result<(), Report> {
    let folder = Folder::new(output::absolute(&args.data.data));
    check_addresses(args)?;
    let _lock = claim(folder.path())?;
    let listen = free_port(args.listen)?;
    let settings = ServerSettings { listen, advertise: args.advertise };
    let root = new_key()?;
    let network = make(&folder, args, &settings, &root)?;
    let next = Next::new(settings.public(), &folder.network(), &folder.node_token());
    if json {
        output::json(&serde_json::json!({
            "schema_version": SCHEMA_VERSION,
            "network": { "name": network.facts().name, "id": network.id().to_hex() },
            "listen": listen.to_string(),
            "network_file": folder.network(),
            "node_token": folder.node_token(),
            "root_key": folder.file("root.key"),
            "next": {
                "serve": format!("callbook-bootstrap serve --data {}", output::quoted(folder.path())),
                "superpeer": next.superpeer,
                "child": next.child,
            },
        }));
    } else {
        output::text(&summary(&folder, &network, listen, &next));
    }
    Ok(())
}

fn summary(folder: &Folder, network: &NetworkFile, listen: SocketAddr, next: &Next) -> String {
    let lab = match network.facts().limits {
        Limits::Lab => {
            "\nwarning: limits = lab: passwords are stretched cheaply and nothing is rate-limited\n"
        }
        Limits::Normal => "",
    };
    format!(
        "Network `{name}` ({id}) is made.\n\
         \x20 listens on {listen} (TCP and UDP)\n\
         \x20 network file {network}\n\
         \x20 node token {token} (one superpeer, within 24 hours)\n\
         {lab}\n\
         Move {root} offline, to a safe place: it is not needed to serve, and whoever has it owns the network.\n\
         \n\
         Next:\n  callbook-bootstrap serve --data {data}\n\n{lines}",
        name = network.facts().name,
        id = network.id().short(),
        network = folder.network().display(),
        token = folder.node_token().display(),
        root = folder.file("root.key").display(),
        data = output::quoted(folder.path()),
        lines = next.lines(&folder.network(), &folder.node_token()),
    )
}

/// Writes all files; `network.toml` last.
fn make(
    folder: &Folder,
    args: &InitArgs,
    settings: &ServerSettings,
    root: &SecretKey,
) -> Result<NetworkFile, Report> {
    let (login, node) = (new_key()?, new_key()?);
    let network = draft(args, settings, root, (&login, &node)).sign(root).map_err(|error| {
        Report::new("network_file", error.to_string())
            .hint("see callbook-bootstrap init --help")
            .exit(Exit::Usage)
    })?;
    let unwritable = |path: PathBuf| {
        move |error: std::io::Error| {
            Report::new("file", format!("cannot write {}: {error}", path.display())).hint(FOLDER_HINT)
        }
    };
    key_file::write_key(&folder.file("root.key"), key_file::ROOT, root)?;
    key_file::write_key(&folder.file("login.key"), key_file::LOGIN, &login)?;
    key_file::write_key(&folder.file("node.key"), key_file::NODE, &node)?;
    let passwords = ServerKeys::generate().to_bytes();
    key_file::write_secret(&folder.file("passwords.key"), key_file::PASSWORDS, &passwords)?;
    let path = folder.file("server.toml");
    settings.write(&path).map_err(unwritable(path))?;
    small_runtime()?.block_on(async {
        let database = folder.database().await?;
        token::create(&database, &folder.node_token(), clock::wall()).await?;
        database.close().await;
        Ok::<(), Report>(())
    })?;
    let path = folder.network();
    files::write_private(&path, network.text().as_bytes()).map_err(unwritable(path))?;
    Ok(network)
}

fn draft(
    args: &InitArgs,
    settings: &ServerSettings,
    root: &SecretKey,
    (login, node): (&SecretKey, &SecretKey),
) -> Draft {
    let now = clock::wall();
    let roots = vec![root.public()];
    let certificate = LoginCertificate { key: login.public(), not_before: now, not_after: now + LOGIN_LIFE };
    let id = network_id(&roots, &args.network, now);
    let (ip, port) = (settings.public(), settings.listen.port());
    let family = if ip.is_ipv4() { "ip4" } else { "ip6" };
    let peer = peer_text(node);
    let mut parameters = Parameters::default();
    for (key, value) in &args.set {
        match *key {
            "k" => parameters.k = *value,
            "r" => parameters.r = *value,
            "alpha" => parameters.alpha = *value,
            "beta" => parameters.beta = *value,
            _ => parameters.d = *value,
        }
    }
    Draft {
        name: args.network.clone(),
        version: 1,
        created: now,
        scope: match args.scope {
            ScopeArg::Local => Scope::Local,
            ScopeArg::Global => Scope::Global,
        },
        limits: match args.limits {
            LimitsArg::Normal => Limits::Normal,
            LimitsArg::Lab => Limits::Lab,
        },
        roots,
        login: vec![certificate.issue(&id, root)],
        bootstrap: vec![
            format!("/{family}/{ip}/tcp/{port}/p2p/{peer}"),
            format!("/{family}/{ip}/udp/{port}/quic-v1/p2p/{peer}"),
        ],
        protocol_min: PROTOCOL_VERSION,
        parameters,
    }
}

/// The transport's name of a node key.
fn peer_text(node: &SecretKey) -> String {
    ed25519::PublicKey::try_from_bytes(node.public().as_bytes())
        .map(|key| PublicKey::from(key).to_peer_id().to_string())
        .unwrap_or_default()
}

fn new_key() -> Result<SecretKey, Report> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Report::new("entropy", format!("no random bytes: {error}")))?;
    Ok(SecretKey::from_seed(seed))
}

/// Makes the folder and sees that nothing is in it.
fn claim(path: &Path) -> Result<FolderLock, Report> {
    let failed = |error: std::io::Error| {
        Report::new("folder", format!("cannot use {}: {error}", path.display())).hint(FOLDER_HINT)
    };
    files::create_private_folder(path).map_err(failed)?;
    let lock = FolderLock::take(path)?;
    for entry in std::fs::read_dir(path).map_err(failed)? {
        if entry.map_err(failed)?.file_name() != FolderLock::FILE {
            return Err(Report::new("folder_not_empty", format!("{} is not empty", path.display()))
                .hint("give a new folder; `serve --data DIR` serves a network that is there already"));
        }
    }
    Ok(lock)
}

/// Refuses addresses that nobody could dial.
fn check_addresses(args: &InitArgs) -> Result<(), Report> {
    let usage =
        |message: String, hint: &str| Err(Report::new("address", message).hint(hint).exit(Exit::Usage));
    if args.listen.0.is_unspecified() && args.advertise.is_none() {
        return usage(
            format!("--listen {} tells others no address that they could dial", args.listen.0),
            "add --advertise IP with this machine's address",
        );
    }
    let public = args.advertise.unwrap_or(args.listen.0);
    if public.is_unspecified() || public.is_multicast() {
        return usage(
            format!("{public} is no address that others could dial"),
            "give this machine's address",
        );
    }
    if matches!(args.scope, ScopeArg::Global) && !is_global(public) {
        return usage(
            format!("on a global network {public} does not count"),
            "give a global address with --advertise IP, or leave --scope out for a local network",
        );
    }
    Ok(())
}

/// Whether an address is neither private nor for special use, roughly as IANA lists them.
fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4 == Ipv4Addr::BROADCAST
                || shared)
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

/// A port that is free for TCP and UDP: the one asked for, or any.
fn free_port(Listen(ip, port): Listen) -> Result<SocketAddr, Report> {
    // Another process may take the UDP port while we hold the TCP port; a few tries are plenty.
    const TRIES: usize = 100;
    let busy = |address: SocketAddr, protocol: &str, error: &std::io::Error| {
        let hint = if error.kind() == std::io::ErrorKind::AddrInUse {
            "choose another port, or leave the port out"
        } else if error.kind() == std::io::ErrorKind::AddrNotAvailable {
            "give an address of this machine; a public one that is forwarded to it goes to --advertise"
        } else {
            "choose a port above 1023"
        };
        Report::new("listen", format!("cannot listen on {address} ({protocol}): {error}")).hint(hint)
    };
    let mut outcome = Err(Report::new("listen", format!("no free port on {ip}")));
    for _ in 0..TRIES {
        let tcp = TcpListener::bind((ip, port)).map_err(|error| busy((ip, port).into(), "TCP", &error))?;
        let address = tcp.local_addr().map_err(|error| busy((ip, port).into(), "TCP", &error))?;
        match UdpSocket::bind(address) {
            Ok(_) => return Ok(address),
            Err(error) => outcome = Err(busy(address, "UDP", &error)),
        }
        if port != 0 {
            break;
        }
    }
    outcome
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned()).map_err(|rule| format!("expected {rule}"))
}

fn listen(text: &str) -> Result<Listen, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse() {
        return Ok(Listen(ip, 0));
    }
    let address: SocketAddr = text.parse().map_err(|_| "expected IP or IP:PORT, such as 127.0.0.1:4001")?;
    Ok(Listen(address.ip(), address.port()))
}

fn setting(text: &str) -> Result<(&'static str, usize), String> {
    const KNOWN: [&str; 5] = ["k", "r", "alpha", "beta", "d"];
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as r=3")?;
    let known = KNOWN.into_iter().find(|known| *known == key).ok_or_else(|| {
        let meant = suggest::closest(key, &KNOWN).map(|meant| format!("; did you mean `{meant}`?"));
        format!("unknown parameter `{key}`{} (known: k, r, alpha, beta, d)", meant.unwrap_or_default())
    })?;
    match value.parse() {
        Ok(number) if (1..=128).contains(&number) => Ok((known, number)),
        Ok(_) | Err(_) => Err(format!("`{key}` is a number from 1 to 128")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_takes_an_address_with_or_without_port() {
        // Goal: the forms of --listen. Method: examples of both families.
        for (text, port) in
            [("127.0.0.1", 0), ("127.0.0.1:4001", 4001), ("::1", 0), ("[::1]", 0), ("[::1]:9", 9)]
        {
            assert_eq!(listen(text).unwrap().1, port, "{text}");
        }
        assert!(listen("localhost:1").is_err() && listen("127.0.0.1:x").is_err());
    }

    #[test]
    fn a_parameter_is_known_and_within_its_bounds() {
        // Goal: --set names its errors. Method: examples.
        assert_eq!(setting("r=3"), Ok(("r", 3)));
        assert!(setting("alfa=3").unwrap_err().contains("did you mean `alpha`"));
        assert!(setting("r=0").is_err() && setting("r").is_err());
    }
}
