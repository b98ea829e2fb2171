//! All links of one owner, read and written in its own task.
//!
//! ```text
//!  owner ──send──► the link's queue (bounded) ──flush: one write for what came in a turn──► stream
//!  owner ◄──next── frames, decoded ◄── links that have something to do, in the order they said so ◄──┘
//! ```
//! A stream that has bytes, takes bytes again or ends wakes by its link's *bell*, which puts the link
//! into the queue of those that are ready and wakes the owner. So a turn of the owner costs nothing for
//! links where nothing happens, and a frame passes no task between the connection's and the owner's
//! (measured, see docs/decisions.md). What a link gives waits in its stream until the owner asks for it;
//! each link has its turn after one frame.
//!
//! *Not here*: reading and writing of one link (`link`); opening and closing connections; decisions.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use callbook_overlay::api::LinkId;
use callbook_overlay::wire::Frame;
use futures::task::AtomicWaker;
use futures::{AsyncRead, AsyncWrite};

use crate::limits::{READ_BYTES, Rate};
use crate::link::{End, Full, Link, LinkCounts};

/// What links tell their owner.
#[derive(Debug)]
pub enum FromLink {
    /// A frame arrived.
    Frame(LinkId, Frame),
    /// The link has ended and is gone; nothing comes from it any more.
    Ended(LinkId, End),
}

/// The links that have something to do, and who does it.
#[derive(Debug, Default)]
struct Ready {
    queue: Mutex<VecDeque<LinkId>>,
    owner: AtomicWaker,
}

impl Ready {
    fn queue(&self) -> MutexGuard<'_, VecDeque<LinkId>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a link's stream wakes.
#[derive(Debug)]
struct Bell {
    link: LinkId,
    /// The link is in the queue.
    rung: AtomicBool,
    ready: Arc<Ready>,
}

impl Bell {
    /// Puts the link into the queue; answers whether it was not there.
    fn ring(&self) -> bool {
        let first = !self.rung.swap(true, Ordering::AcqRel);
        if first {
            self.ready.queue().push_back(self.link);
        }
        first
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.ring() {
            self.ready.owner.wake();
        }
    }
}

struct Entry<S> {
    link: Link<S>,
    bell: Arc<Bell>,
    waker: Waker,
    /// It is among those to be flushed.
    dirty: bool,
}

/// See the module's text. Belongs to one task of a tokio runtime.
pub struct Links<S> {
    links: HashMap<LinkId, Entry<S>>,
    ready: Arc<Ready>,
    dirty: Vec<LinkId>,
    /// What every stream is read into.
    chunk: Box<[u8]>,
    rate: Option<Rate>,
    counts: Arc<LinkCounts>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Links<S> {
    /// No links yet; each may take frames at this rate (`None`: at any), and counts there.
    #[must_use]
    pub fn new(rate: Option<Rate>, counts: Arc<LinkCounts>) -> Self {
        Self {
            links: HashMap::new(),
            ready: Arc::default(),
            dirty: Vec::new(),
            chunk: vec![0; READ_BYTES].into(),
            rate,
            counts,
        }
    }

    /// Serves a stream from now on; the owner chooses the name, which is new.
    pub fn insert(&mut self, link: LinkId, stream: S) {
        let bell = Arc::new(Bell { link, rung: AtomicBool::new(false), ready: Arc::clone(&self.ready) });
        // It has to be polled to wake by itself.
        bell.ring();
        let waker = Waker::from(Arc::clone(&bell));
        let link_state = Link::new(stream, self.rate);
        self.links.insert(link, Entry { link: link_state, bell, waker, dirty: false });
    }

    /// Queues a frame, to be written by [`Links::flush`]. Nothing happens if the link closes or is gone.
    ///
    /// # Errors
    /// The peer does not read: more than [`OUTBOUND_BYTES_MAX`](crate::limits::OUTBOUND_BYTES_MAX) wait.
    pub fn send(&mut self, link: LinkId, frame: &Frame) -> Result<(), Full> {
        let Some(entry) = self.links.get_mut(&link) else { return Ok(()) };
        entry.link.push(frame, &self.counts)?;
        if !std::mem::replace(&mut entry.dirty, true) {
            self.dirty.push(link);
        }
        Ok(())
    }

    /// Writes what was queued since the last time, as far as the streams take it; they wake for the rest.
    pub fn flush(&mut self) {
        for link in self.dirty.drain(..) {
            let Some(entry) = self.links.get_mut(&link) else { continue };
            entry.dirty = false;
            if entry.link.write(&mut Context::from_waker(&entry.waker), &self.counts) {
                // Its end is to be told.
                entry.bell.ring();
            }
        }
    }

    /// Closes a link after what is queued; [`FromLink::Ended`] follows.
    pub fn close(&mut self, link: LinkId) {
        if let Some(entry) = self.links.get_mut(&link) {
            entry.link.close();
            entry.bell.ring();
        }
    }

    /// Ends a link without waiting for anything; nothing comes from it any more.
    pub fn cut(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// What links have to tell, if they have.
    pub fn take(&mut self) -> Option<FromLink> {
        loop {
            let link = self.ready.queue().pop_front()?;
            let Some(entry) = self.links.get_mut(&link) else { continue };
            entry.bell.rung.store(false, Ordering::Release);
            let mut cx = Context::from_waker(&entry.waker);
            match entry.link.poll(&mut cx, &mut self.chunk, &self.counts) {
                Poll::Pending => {}
                Poll::Ready(Ok(frame)) => {
                    // There may be more.
                    entry.bell.ring();
                    return Some(FromLink::Frame(link, frame));
                }
                Poll::Ready(Err(end)) => {
                    self.links.remove(&link);
                    return Some(FromLink::Ended(link, end));
                }
            }
        }
    }

    /// Flushes, and waits for what links have to tell. May be dropped and called again at any time.
    pub async fn next(&mut self) -> FromLink {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<FromLink> {
        self.flush();
        if let Some(told) = self.take() {
            return Poll::Ready(told);
        }
        self.ready.owner.register(cx.waker());
        // A bell may have rung before the waker stood.
        self.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<S> fmt::Debug for Links<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("links", &self.links.len()).finish_non_exhaustive()
    }
}
