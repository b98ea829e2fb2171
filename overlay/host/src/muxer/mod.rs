//! Yamux as libp2p has it, driven once where the swarm drives it twice.
//!
//! ```text
//!  swarm: anything on a connection ─► poll          drives Yamux until there is nothing left to do
//!                                  └► poll_inbound  takes a stream that came up then, and drives nothing
//! ```
//! Whenever a connection wakes, the swarm asks its muxer for events and then for a new stream. With
//! libp2p-yamux either drives the whole connection: flush, commands of the streams, a read (for which
//! 8 KiB are zeroed below Noise). The second time there is never anything left, since all of it happens in one
//! poll of one task. So what comes up in the first is kept, and the second only looks there.
//!
//! *Not here*: the protocol, which is libp2p-yamux's; its pings (`quiet`); QUIC, whose streams drive themselves.

mod quiet;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::future::{MapOk, TryFutureExt};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::yamux;

use self::quiet::Quiet;
use crate::limits::STREAMS_MAX;

/// Yamux's configuration, for muxers that are driven once and measure nobody.
#[derive(Debug, Clone)]
pub(crate) struct Config(pub(crate) yamux::Config);

impl UpgradeInfo for Config {
    type Info = <yamux::Config as UpgradeInfo>::Info;
    type InfoIter = <yamux::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

/// An upgrade of Yamux whose muxer is wrapped.
type Wrapped<C, F> = MapOk<F, fn(yamux::Muxer<Quiet<C>>) -> Muxer<yamux::Muxer<Quiet<C>>>>;

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Config {
    type Output = Muxer<yamux::Muxer<Quiet<C>>>;
    type Error = <yamux::Config as InboundConnectionUpgrade<Quiet<C>>>::Error;
    type Future = Wrapped<C, <yamux::Config as InboundConnectionUpgrade<Quiet<C>>>::Future>;

    fn upgrade_inbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_inbound(Quiet::new(socket), info).map_ok(Muxer::new)
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Config {
    type Output = Muxer<yamux::Muxer<Quiet<C>>>;
    type Error = <yamux::Config as OutboundConnectionUpgrade<Quiet<C>>>::Error;
    type Future = Wrapped<C, <yamux::Config as OutboundConnectionUpgrade<Quiet<C>>>::Future>;

    fn upgrade_outbound(self, socket: C, info: Self::Info) -> Self::Future {
        self.0.upgrade_outbound(Quiet::new(socket), info).map_ok(Muxer::new)
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Muxer<M: StreamMuxer> {
    inner: M,
    /// Streams that came up while it was driven for something else.
    waiting: VecDeque<M::Substream>,
    /// It has been driven to its end, and wakes this.
    driven: bool,
    waker: Waker,
}

impl<M: StreamMuxer> Muxer<M> {
    fn new(inner: M) -> Self {
        Self { inner, waiting: VecDeque::new(), driven: false, waker: Waker::noop().clone() }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Muxer<M>
where
    M::Substream: Unpin,
{
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        if let Some(stream) = self.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        // Nothing can have happened in between that would not wake it, unless it is another that asks.
        if std::mem::take(&mut self.driven) && self.waker.will_wake(cx.waker()) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_inbound(cx)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.driven = false;
        Pin::new(&mut self.inner).poll_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }

    /// Yamux has no events; to look for a stream is to drive it.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        self.driven = false;
        match Pin::new(&mut self.inner).poll_inbound(cx) {
            Poll::Pending => {
                self.driven = true;
                self.waker.clone_from(cx.waker());
            }
            Poll::Ready(Ok(stream)) => {
                if self.waiting.len() < STREAMS_MAX {
                    self.waiting.push_back(stream);
                } else {
                    tracing::debug!("dropped a stream, since too many wait to be negotiated");
                }
                // There may be more to do; others get their turn first.
                cx.waker().wake_by_ref();
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::task::Wake;

    use futures::io::Cursor;

    use super::*;

    /// Has these streams, and counts how often it is driven.
    #[derive(Debug, Default)]
    struct Script {
        streams: VecDeque<Cursor<Vec<u8>>>,
        driven: usize,
    }

    impl StreamMuxer for Script {
        type Substream = Cursor<Vec<u8>>;
        type Error = Infallible;

        fn poll_inbound(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Self::Error>> {
            self.driven += 1;
            self.streams.pop_front().map_or(Poll::Pending, |stream| Poll::Ready(Ok(stream)))
        }

        fn poll_outbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Self::Error>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
            unreachable!("to look for a stream is to drive it")
        }
    }

    #[derive(Debug)]
    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    fn asks_for_events(muxer: &mut Muxer<Script>, cx: &mut Context<'_>) -> usize {
        assert!(Pin::new(&mut *muxer).poll(cx).is_pending());
        muxer.inner.driven
    }

    /// Whether a stream comes, and how often the muxer has been driven by then.
    fn asks_for_a_stream(muxer: &mut Muxer<Script>, cx: &mut Context<'_>) -> (bool, usize) {
        (Pin::new(&mut *muxer).poll_inbound(cx).is_ready(), muxer.inner.driven)
    }

    #[test]
    fn it_is_driven_once_where_the_swarm_asks_twice() {
        // Goal: who asks for a stream after it has asked for events drives nothing; who asks for more than that
        // does. Method: a muxer that counts, asked in the swarm's order and in others.
        let mut muxer = Muxer::new(Script::default());
        let (waker, other) = (Waker::from(Arc::new(Nobody)), Waker::from(Arc::new(Nobody)));
        let mut cx = Context::from_waker(&waker);
        assert_eq!(asks_for_events(&mut muxer, &mut cx), 1);
        assert_eq!(asks_for_a_stream(&mut muxer, &mut cx), (false, 1));
        assert_eq!(asks_for_a_stream(&mut muxer, &mut cx), (false, 2), "nothing was asked for before");
        assert_eq!(asks_for_events(&mut muxer, &mut cx), 3);
        assert!(Pin::new(&mut muxer).poll_outbound(&mut cx).is_pending());
        assert_eq!(asks_for_a_stream(&mut muxer, &mut cx), (false, 4), "a new stream of ours has to be told");
        assert_eq!(asks_for_events(&mut muxer, &mut cx), 5);
        let mut cx = Context::from_waker(&other);
        assert_eq!(asks_for_a_stream(&mut muxer, &mut cx), (false, 6), "another would never be woken");
    }

    #[test]
    fn streams_that_come_up_between_are_kept() {
        // Goal: no stream is lost. Method: two that come up when events are asked for.
        let mut muxer = Muxer::new(Script::default());
        muxer.inner.streams.extend([Cursor::new(Vec::new()), Cursor::new(Vec::new())]);
        let waker = Waker::from(Arc::new(Nobody));
        let mut cx = Context::from_waker(&waker);
        assert_eq!(asks_for_events(&mut muxer, &mut cx), 1);
        assert_eq!(asks_for_events(&mut muxer, &mut cx), 2);
        assert_eq!(asks_for_a_stream(&mut muxer, &mut cx), (true, 2));
        assert_eq!(asks_for_a_stream(&mut muxer, &mut cx), (true, 2));
        assert_eq!(asks_for_a_stream(&mut muxer, &mut cx), (false, 3));
    }
}
