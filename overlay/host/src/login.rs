//! Login requests as opaque bytes over libp2p's request-response.
//!
//! What the bytes say is the login crate's matter. A message is not empty, and ends where its sender
//! closes its half of the stream.

use std::io;
use std::net::IpAddr;

use bytes::Bytes;
use callbook_overlay::key::{NetworkId, PeerId};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, ProtocolSupport};
use tokio::sync::oneshot;

use crate::limits::{LOGIN_BYTES_MAX, LOGIN_STREAMS_MAX, LOGIN_TIMEOUT};

/// A login request that a peer sent to us.
#[derive(Debug)]
pub struct LoginCall {
    /// Who asks; the transport has authenticated it.
    pub peer: PeerId,
    /// From where, for rate limits.
    pub address: Option<IpAddr>,
    /// The request.
    pub request: Bytes,
    /// Takes the answer; dropped without one, the asker gets an error.
    pub reply: oneshot::Sender<Bytes>,
}

/// Carries bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Codec;

pub(crate) type Behaviour = request_response::Behaviour<Codec>;
pub(crate) type Event = request_response::Event<Bytes, Bytes>;
pub(crate) type Channel = request_response::ResponseChannel<Bytes>;

/// The behaviour for one network; inbound requests are taken only by a login server.
pub(crate) fn behaviour(network: &NetworkId, serves: bool) -> Behaviour {
    let protocol = StreamProtocol::try_from_owned(format!("/callbook/{}/login/1", network.short()))
        .expect("the name starts with a slash");
    let support = if serves { ProtocolSupport::Full } else { ProtocolSupport::Outbound };
    let config = request_response::Config::default()
        .with_request_timeout(LOGIN_TIMEOUT)
        .with_max_concurrent_streams(LOGIN_STREAMS_MAX);
    Behaviour::with_codec(Codec, [(protocol, support)], config)
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Bytes;
    type Response = Bytes;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Bytes> {
        read(io).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Bytes> {
        read(io).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        message: Bytes,
    ) -> io::Result<()> {
        io.write_all(&message).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        message: Bytes,
    ) -> io::Result<()> {
        io.write_all(&message).await
    }
}

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<Bytes> {
    let mut message = Vec::new();
    io.take(LOGIN_BYTES_MAX + 1).read_to_end(&mut message).await?;
    if message.is_empty() {
        // A stream that was closed without a word; no message is empty.
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if message.len() as u64 > LOGIN_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a login message over 64 KiB"));
    }
    Ok(message.into())
}
