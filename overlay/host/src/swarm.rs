//! Sets the transport up: TCP with Noise and Yamux, and QUIC, on one port number.
//!
//! libp2p's own errors lose the system's reason on their way up, and its TCP socket shares its port
//! with any other that asks for it. So a port is first tried with plain sockets, which tell *in use*
//! from *not an address of this machine*.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use callbook_net::multiaddr;
use callbook_overlay::api::{Address, Transport};
use callbook_overlay::key::NetworkId;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{Swarm, SwarmBuilder, noise, tcp, yamux};

use crate::behaviour::Behaviour;
use crate::error::StartError;
use crate::limits::{DIAL_TIMEOUT, PORT_ATTEMPTS, QUIC_IDLE, QUIC_KEEP_ALIVE, STREAMS_MAX, SWARM_IDLE};
use crate::muxer;
use crate::settings::Transports;

const TCP: &str = "TCP";
const UDP: &str = "UDP";

/// A swarm that does not listen yet. Must be called on a runtime.
pub(crate) fn build(
    keypair: &Keypair,
    network: &NetworkId,
    agent: &str,
    serves_login: bool,
) -> Result<Swarm<Behaviour>, StartError> {
    let base = || {
        let builder = SwarmBuilder::with_existing_identity(keypair.clone())
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, streams)?
            .with_quic_config(|mut config| {
                config.max_idle_timeout = u32::try_from(QUIC_IDLE.as_millis()).unwrap_or(u32::MAX);
                config.keep_alive_interval = QUIC_KEEP_ALIVE;
                config
            });
        Ok::<_, noise::Error>(builder)
    };
    // The two builders are of different types.
    macro_rules! finish {
        ($builder:expr) => {
            $builder
                .with_behaviour(|keypair| Behaviour::new(keypair, network, agent, serves_login))
                .map_err(|never: Infallible| -> StartError { match never {} })?
                .with_swarm_config(|config| {
                    config
                        .with_idle_connection_timeout(SWARM_IDLE)
                        .with_substream_upgrade_protocol_override(Version::V1Lazy)
                })
                .with_connection_timeout(DIAL_TIMEOUT)
                .build()
        };
    }
    let failed = |error: noise::Error| StartError::Transport(error.to_string());
    match base().map_err(failed)?.with_dns() {
        Ok(builder) => Ok(finish!(builder)),
        Err(error) => {
            tracing::warn!(%error, "no name server is configured: servers with a DNS name can't be reached");
            Ok(finish!(base().map_err(failed)?))
        }
    }
}

fn streams() -> muxer::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(STREAMS_MAX);
    muxer::Config(config)
}

/// Listens on one port number; answers which.
pub(crate) fn listen(
    swarm: &mut Swarm<Behaviour>,
    listen: SocketAddr,
    transports: Transports,
) -> Result<SocketAddr, StartError> {
    if listen.port() != 0 {
        probe(listen, transports)?;
        return listen_on(swarm, listen, transports).map(|()| listen);
    }
    for _ in 0..PORT_ATTEMPTS {
        // Somebody may take the port between the probe and the listening.
        if let Some(address) = free_port(listen.ip(), transports)?
            && listen_on(swarm, address, transports).is_ok()
        {
            return Ok(address);
        }
    }
    Err(StartError::NoFreePort(listen.ip()))
}

fn listen_on(
    swarm: &mut Swarm<Behaviour>,
    address: SocketAddr,
    transports: Transports,
) -> Result<(), StartError> {
    let mut listeners = Vec::new();
    for (wanted, transport, protocol) in
        [(transports.tcp(), Transport::Tcp, TCP), (transports.quic(), Transport::Quic, UDP)]
    {
        if !wanted {
            continue;
        }
        let to = multiaddr(&Address { ip: address.ip(), port: address.port() }, transport);
        match swarm.listen_on(to) {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                for listener in listeners {
                    swarm.remove_listener(listener);
                }
                return Err(StartError::Listen { address, protocol, reason: error.to_string() });
            }
        }
    }
    Ok(())
}

/// Tells why a port can't be had, in words for a person.
fn probe(address: SocketAddr, transports: Transports) -> Result<(), StartError> {
    if transports.tcp() {
        drop(TcpListener::bind(address).map_err(|error| refused(address, TCP, &error))?);
    }
    if transports.quic() {
        drop(UdpSocket::bind(address).map_err(|error| refused(address, UDP, &error))?);
    }
    Ok(())
}

/// A port that TCP offers and UDP has free too, if so.
fn free_port(ip: IpAddr, transports: Transports) -> Result<Option<SocketAddr>, StartError> {
    let any = SocketAddr::new(ip, 0);
    let listener = TcpListener::bind(any).map_err(|error| refused(any, TCP, &error))?;
    let address = listener.local_addr().map_err(|error| refused(any, TCP, &error))?;
    match UdpSocket::bind(address) {
        Ok(_) => Ok(Some(address)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok((!transports.quic()).then_some(address)),
        Err(error) => Err(refused(any, UDP, &error)),
    }
}

fn refused(address: SocketAddr, protocol: &'static str, error: &io::Error) -> StartError {
    if error.kind() == io::ErrorKind::AddrInUse {
        StartError::PortInUse { address, protocol }
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        StartError::NotLocal { address, protocol }
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        StartError::NotAllowed { address, protocol }
    } else {
        StartError::Listen { address, protocol, reason: error.to_string() }
    }
}
