//! What Yamux writes, without the pings by which it measures round trips.
//!
//! ```text
//!  Yamux: header of a frame ─┬─ a ping that asks ─▶ taken, and not sent
//!                            └─ any other ────────▶ the socket, and after it as much as the header says
//! ```
//! Yamux pings whenever a connection is used and has not been measured for ten seconds, and the other side answers in a
//! packet of its own: nearly a hundred bytes at each end, as much as the hello for which the connection was used. All
//! that it does with the round trip is to let a stream have more than 256 KiB under way, and no frame of ours has more
//! than a quarter of that. One ping that has not been answered is waited for, and no other is made. Pings of the other side are
//! answered as ever.
//!
//! Yamux hands the header of a frame over in one piece; if it ever did not, all would pass from then on.
//!
//! Source: *Yamux, Framing* (specification: header of twelve bytes, type at 1, flags at 2, length at 8; only data has a
//! body); yamux 0.14 (`rtt.rs`, `flow_control.rs`, by reading). *Not here*: signs of life, which nobody needs from Yamux.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};

const HEADER_BYTES: usize = 12;
const DATA: u8 = 0;
const PING: u8 = 2;
const SYN: u16 = 1;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Quiet<C> {
    socket: C,
    /// Bytes of the frame under way that have not been written.
    left: usize,
    /// It is not known where frames begin.
    lost: bool,
}

impl<C> Quiet<C> {
    pub(super) const fn new(socket: C) -> Self {
        Self { socket, left: 0, lost: false }
    }

    /// How much of this the socket may get, and how long the frame is of which it is; nothing of a ping.
    fn allows(&mut self, bytes: &[u8]) -> Option<(usize, usize)> {
        if !self.lost && self.left == 0 {
            let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
                self.lost = true;
                return Some((bytes.len(), bytes.len()));
            };
            let [_, kind, flags_high, flags_low, _, _, _, _, length @ ..] = *header;
            if kind == PING && u16::from_be_bytes([flags_high, flags_low]) & SYN != 0 {
                return None;
            }
            let body = if kind == DATA { u32::from_be_bytes(length) } else { 0 };
            let frame = usize::try_from(body).unwrap_or(usize::MAX).saturating_add(HEADER_BYTES);
            return Some((bytes.len().min(frame), frame));
        }
        let left = if self.lost { bytes.len() } else { self.left };
        Some((bytes.len().min(left), left))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Quiet<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some((allowed, frame)) = self.allows(bytes) else { return Poll::Ready(Ok(HEADER_BYTES)) };
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &bytes[..allowed]))?;
        self.left = frame.saturating_sub(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Quiet<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(cx, bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures::FutureExt;
    use libp2p::core::muxing::StreamMuxer;
    use libp2p::core::upgrade::OutboundConnectionUpgrade;
    use libp2p::yamux;

    use super::*;

    /// A socket that takes a few bytes at a time, each other time none, and from which nothing comes.
    #[derive(Debug, Default)]
    struct Narrow {
        taken: Vec<u8>,
        at_once: usize,
        full: bool,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.full = !self.full;
            if self.full {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let taken = bytes.len().min(self.at_once);
            self.taken.extend(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Narrow {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    /// A frame as the specification has it; of what is not data the length says something else.
    fn frame(kind: u8, flags: u8, length: u32, body: &[u8]) -> Vec<u8> {
        [&[0, kind, 0, flags, 0, 0, 0, 1][..], &length.to_be_bytes(), body].concat()
    }

    /// Writes all of it piece by piece, as Yamux does: a header, then a body.
    fn write(quiet: &mut Quiet<Narrow>, pieces: &[&[u8]]) {
        let mut cx = Context::from_waker(Waker::noop());
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                if let Poll::Ready(written) = Pin::new(&mut *quiet).poll_write(&mut cx, rest) {
                    rest = &rest[written.unwrap()..];
                }
            }
        }
    }

    #[test]
    fn all_but_pings_that_ask_passes_as_it_is() {
        // Goal: nothing else is lost or turned round. Method: data whose body looks like a ping, a ping, an answer to one,
        // a window, a goodbye, more data; by a socket that takes them in pieces of all sizes.
        let (ping, pong) = (frame(2, 1, 7, &[]), frame(2, 2, 7, &[]));
        let data = frame(0, 0, 12, &ping);
        let (window, goodbye, empty) = (frame(1, 1, 300, &[]), frame(3, 0, 0, &[]), frame(0, 4, 0, &[]));
        let sent = [&data[..], &pong, &window, &data, &goodbye, &empty, &data].concat();
        for at_once in 1..=25 {
            let mut quiet = Quiet::new(Narrow { at_once, ..Narrow::default() });
            let (header, body) = data.split_at(HEADER_BYTES);
            write(&mut quiet, &[&ping, header, body, &ping, &pong, &window, header, body, &ping, &ping]);
            write(&mut quiet, &[&goodbye, &empty, header, body, &ping]);
            assert_eq!(quiet.socket.taken, sent, "{at_once} at once");
        }
    }

    #[test]
    fn what_does_not_begin_with_a_whole_header_passes_for_good() {
        // Goal: no stream is spoilt where Yamux writes in another way. Method: a header in two pieces, then a ping.
        let ping = frame(2, 1, 7, &[]);
        let mut quiet = Quiet::new(Narrow { at_once: 100, ..Narrow::default() });
        write(&mut quiet, &[&ping[..5], &ping[5..], &ping]);
        assert_eq!(quiet.socket.taken, [ping.clone(), ping].concat());
    }

    #[test]
    fn yamux_measures_nobody() {
        // Goal: the pings are what Yamux writes, and none is left. Method: a connection that is driven once, with this and
        // without: that is when Yamux measures first.
        fn driven(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
            let mut cx = Context::from_waker(Waker::noop());
            let upgrade = yamux::Config::default().upgrade_outbound(socket, "/yamux/1.0.0");
            let mut muxer = upgrade.now_or_never().unwrap().unwrap();
            for _ in 0..40 {
                assert!(Pin::new(&mut muxer).poll(&mut cx).is_pending());
            }
        }
        let (shared, quiet) = (Shared::default(), Shared::default());
        driven(shared.clone());
        driven(Quiet::new(quiet.clone()));
        assert_eq!(shared.taken(), [0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(quiet.taken().is_empty());
    }

    /// A [`Narrow`] that can be looked at while somebody has it.
    #[derive(Debug, Clone)]
    struct Shared(std::sync::Arc<std::sync::Mutex<Narrow>>);

    impl Default for Shared {
        fn default() -> Self {
            Self(std::sync::Arc::new(Narrow { at_once: 5, ..Narrow::default() }.into()))
        }
    }

    impl Shared {
        fn taken(&self) -> Vec<u8> {
            self.0.lock().unwrap().taken.clone()
        }
    }

    impl AsyncWrite for Shared {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut *self.0.lock().unwrap()).poll_write(cx, bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Shared {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }
}
