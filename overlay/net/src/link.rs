//! One link: frames out of what a stream gives, and into what it takes.
//!
//! ```text
//!  open ──close──► closing: writes the rest, closes our half ──► lingering: reads until the other side
//!    │                                                                │        closes too, or LINGER
//!    └── the stream ends or fails, or a frame can't be read ──► ended ◄┘
//! ```
//! Reading and writing go on beside each other: a peer that stops reading does not stop our reading. A
//! frame is a length (u32, big-endian) and that many bytes; one that is too large or can't be read ends
//! the link. Blobs of a decoded frame share the memory that was read into, so who keeps one for long
//! should copy it. A link that closes lingers since QUIC forgets what was sent when a connection closes
//! before it has arrived.
//!
//! *Not here*: whose turn it is (`links`), what frames mean.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use callbook_overlay::wire::{FRAME_BYTES_MAX, Frame, WireError};
use futures::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep, sleep_until};

use crate::limits::{IDLE_BUFFER_BYTES, LINGER, OUTBOUND_BYTES_MAX, Rate, WRITE_BYTES};
use crate::tokens::Tokens;

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum End {
    /// The peer closed the stream.
    #[error("closed by the other side")]
    Closed,
    /// Us: the owner closed the link, and what was queued has been written.
    #[error("closed by this side")]
    Finished,
    /// The network, or the peer's reset.
    #[error("the stream failed: {0}")]
    Io(#[from] io::Error),
    /// The peer announced a frame beyond the maximum.
    #[error("a frame of {0} bytes is larger than {FRAME_BYTES_MAX}")]
    TooLarge(usize),
    /// The peer sent a frame that can't be read.
    #[error("a frame can't be read: {0}")]
    Unreadable(WireError),
}

impl End {
    /// One word for a metric's label, from a closed set.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Finished => "finished",
            Self::Io(_) => "io",
            Self::TooLarge(_) => "too_large",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// What the links of one owner have done so far.
#[derive(Debug, Default)]
pub struct LinkCounts {
    /// Frames read.
    pub frames_received: AtomicU64,
    /// Frames taken for writing.
    pub frames_sent: AtomicU64,
    /// Bytes read, with lengths.
    pub bytes_received: AtomicU64,
    /// Bytes written, with lengths.
    pub bytes_sent: AtomicU64,
    /// Writes; frames by writes is how well frames coalesce.
    pub writes: AtomicU64,
    /// Times a link was not read because it was above its rate.
    pub throttled: AtomicU64,
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

/// More waits to be written on a link than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {OUTBOUND_BYTES_MAX} bytes wait to be written")]
pub struct Full;

type Waiting = Pin<Box<Sleep>>;

#[derive(Debug)]
enum Stage {
    Open,
    Closing,
    Lingering(Waiting),
}

/// One stream with what was read of it and what is to be written.
#[derive(Debug)]
pub(crate) struct Link<S> {
    stream: S,
    stage: Stage,
    /// Read, and not yet taken as frames.
    input: BytesMut,
    tokens: Option<Tokens>,
    /// Until when nothing is read, since the other side is above its rate.
    pause: Option<Waiting>,
    /// To be written from `written` on.
    output: Vec<u8>,
    written: usize,
    /// Something was written since the last flush.
    unflushed: bool,
    /// Writing has failed; nothing may be asked of the stream any more.
    failed: Option<io::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(crate) fn new(stream: S, rate: Option<Rate>) -> Self {
        Self {
            stream,
            stage: Stage::Open,
            input: BytesMut::new(),
            tokens: rate.map(Tokens::new),
            pause: None,
            output: Vec::new(),
            written: 0,
            unflushed: false,
            failed: None,
        }
    }

    /// What is queued is still written, then our half is closed; what comes in is dropped.
    pub(crate) fn close(&mut self) {
        if matches!(self.stage, Stage::Open) {
            self.stage = Stage::Closing;
        }
    }

    /// Queues a frame, unless too much is queued or the link closes.
    pub(crate) fn push(&mut self, frame: &Frame, counts: &LinkCounts) -> Result<(), Full> {
        if !matches!(self.stage, Stage::Open) {
            return Ok(());
        }
        if self.output.len() - self.written > OUTBOUND_BYTES_MAX {
            return Err(Full);
        }
        if encode(frame, &mut self.output) {
            count(&counts.frames_sent, 1);
        }
        Ok(())
    }

    /// Writes what the stream takes now; a failure shows at the next [`Link::poll`]. Returns whether there is one.
    pub(crate) fn write(&mut self, cx: &mut Context<'_>, counts: &LinkCounts) -> bool {
        if self.failed.is_none()
            && let Poll::Ready(Err(error)) = self.poll_write(cx, counts)
        {
            self.failed = Some(error);
        }
        self.failed.is_some()
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, counts: &LinkCounts) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let rest = &self.output[self.written..];
            let part = &rest[..rest.len().min(WRITE_BYTES)];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, part))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                size => {
                    self.written += size;
                    self.unflushed = true;
                    count(&counts.bytes_sent, size);
                    count(&counts.writes, 1);
                }
            }
        }
        if std::mem::take(&mut self.written) > 0 {
            self.output.clear();
            if self.output.capacity() > IDLE_BUFFER_BYTES {
                self.output = Vec::new();
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The next frame, or the link's end. `chunk` is memory to read into.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut [u8],
        counts: &LinkCounts,
    ) -> Poll<Result<Frame, End>> {
        if self.write(cx, counts)
            && let Some(error) = self.failed.take()
        {
            return Poll::Ready(Err(End::Io(error)));
        }
        match self.stage {
            Stage::Open => self.poll_frame(cx, chunk, counts),
            Stage::Closing | Stage::Lingering(_) => self.poll_closed(cx, chunk, counts).map(Err),
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut [u8],
        counts: &LinkCounts,
    ) -> Poll<Result<Frame, End>> {
        loop {
            if let Some(size) = self.frame_size()? {
                ready!(self.poll_token(cx, counts));
                self.input.advance(LENGTH_BYTES);
                let frame = self.input.split_to(size).freeze();
                if self.input.is_empty() {
                    // Its memory belongs to the frames that were cut from it.
                    self.input = BytesMut::new();
                }
                count(&counts.frames_received, 1);
                return Poll::Ready(Frame::read(frame).map_err(End::Unreadable));
            }
            match ready!(self.poll_read(cx, chunk, counts))? {
                0 => return Poll::Ready(Err(End::Closed)),
                size => self.input.extend_from_slice(&chunk[..size]),
            }
        }
    }

    /// Size of the first frame, if it is there as a whole.
    fn frame_size(&self) -> Result<Option<usize>, End> {
        let Some(length) = self.input.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        // A u32 fits a usize on every machine that runs tokio.
        let size = u32::from_be_bytes(*length) as usize;
        if size > FRAME_BYTES_MAX {
            return Err(End::TooLarge(size));
        }
        Ok((self.input.len() >= LENGTH_BYTES + size).then_some(size))
    }

    fn poll_token(&mut self, cx: &mut Context<'_>, counts: &LinkCounts) -> Poll<()> {
        let Some(tokens) = &mut self.tokens else { return Poll::Ready(()) };
        if self.pause.is_none() {
            let Err(due) = tokens.take() else { return Poll::Ready(()) };
            count(&counts.throttled, 1);
            self.pause = Some(Box::pin(sleep_until(due)));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
            tokens.take_due();
        }
        Poll::Ready(())
    }

    /// Reads what is there; nothing (0) at the stream's end.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut [u8],
        counts: &LinkCounts,
    ) -> Poll<io::Result<usize>> {
        let size = ready!(Pin::new(&mut self.stream).poll_read(cx, chunk))?;
        count(&counts.bytes_received, size);
        Poll::Ready(Ok(size))
    }

    /// Waits for our last bytes to leave, and for the other side to close too.
    fn poll_closed(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], counts: &LinkCounts) -> Poll<End> {
        if matches!(self.stage, Stage::Closing) && self.output.is_empty() && !self.unflushed {
            match Pin::new(&mut self.stream).poll_close(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.stage = Stage::Lingering(Box::pin(sleep(LINGER))),
                Poll::Ready(Err(error)) => return Poll::Ready(End::Io(error)),
            }
        }
        while let Poll::Ready(read) = self.poll_read(cx, chunk, counts) {
            match (read, &self.stage) {
                (Ok(1..), _) => {}
                // How the other side ends makes no difference any more.
                (Ok(0) | Err(_), Stage::Lingering(_)) => return Poll::Ready(End::Finished),
                (Ok(0), _) => return Poll::Ready(End::Closed),
                (Err(error), _) => return Poll::Ready(End::Io(error)),
            }
        }
        if let Stage::Lingering(linger) = &mut self.stage {
            ready!(linger.as_mut().poll(cx));
            tracing::debug!("the other side did not close in time");
            return Poll::Ready(End::Finished);
        }
        Poll::Pending
    }
}

/// Appends length and frame; answers whether it did.
fn encode(frame: &Frame, output: &mut Vec<u8>) -> bool {
    let start = output.len();
    output.extend_from_slice(&[0; LENGTH_BYTES]);
    frame.write(output);
    let size = output.len() - start - LENGTH_BYTES;
    match u32::try_from(size) {
        Ok(length) if size <= FRAME_BYTES_MAX => {
            output[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
            true
        }
        Ok(_) | Err(_) => {
            // The other side would end the link; a frame less leaves its asker to its deadline.
            tracing::error!(size, id = frame.id, "left out a frame of ours that is too large");
            output.truncate(start);
            false
        }
    }
}
