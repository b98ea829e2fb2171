//! Tells whether the swarm has something to do, so that it is polled only then.
//!
//! The driver wakes for every frame, and polling a swarm walks through all its behaviours, listeners
//! and connections. So the swarm is polled with a waker of its own, which raises a flag and wakes the
//! driver. Calls into the swarm from outside need a poll too, and ring by hand.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};

#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Doorbell {
    bell: Arc<Bell>,
    waker: Waker,
}

impl Doorbell {
    /// A bell that has been rung.
    pub(crate) fn new() -> Self {
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: AtomicWaker::new() });
        Self { waker: Waker::from(Arc::clone(&bell)), bell }
    }

    /// To be called with every call into the stream from outside; the owner is awake then.
    pub(crate) fn ring(&self) {
        self.bell.rung.store(true, Ordering::Release);
    }

    /// Ends once the bell has been rung.
    pub(crate) async fn rung(&self) {
        poll_fn(|cx| {
            if self.bell.rung.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            self.bell.task.register(cx.waker());
            if self.bell.rung.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// The stream's next item, if the bell has been rung and there is one.
    pub(crate) fn answer<S: Stream + Unpin>(&self, stream: &mut S) -> Option<S::Item> {
        if !self.bell.rung.swap(false, Ordering::AcqRel) {
            return None;
        }
        match stream.poll_next_unpin(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(item) => {
                // There may be more.
                self.ring();
                item
            }
            Poll::Pending => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_bell_rings_for_what_comes_later() {
        // Goal: a stream is polled only after it asked for it, and nothing is missed. Method: a channel
        // as the stream; items before and after it was found empty.
        let (sender, mut stream) = mpsc::unbounded();
        let doorbell = Doorbell::new();
        sender.unbounded_send(1).unwrap();
        doorbell.rung().await;
        assert_eq!(doorbell.answer(&mut stream), Some(1));
        assert_eq!(doorbell.answer(&mut stream), None);
        assert_eq!(futures::poll!(std::pin::pin!(doorbell.rung())), Poll::Pending);
        sender.unbounded_send(2).unwrap();
        doorbell.rung().await;
        assert_eq!(doorbell.answer(&mut stream), Some(2));
    }
}
