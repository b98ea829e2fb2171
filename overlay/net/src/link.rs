//! Serves one link: the task that reads and writes the stream to one neighbour.
//!
//! ```text
//!  owner ──Frame──► queue (bounded) ──► writer: gathers ≤ 8 KiB, one write, one flush ──► stream
//!  owner ◄──FromLink── inbound (bounded, shared by all links) ◄── reader: decodes ◄────── stream
//! ```
//! Reader and writer are two futures of one task, polled together: a peer that stops reading does
//! not stop our reading, and an owner that is slow to take frames does not stop our writing. A frame
//! is a length (u32, big-endian) and that many bytes; one that is too large or can't be read ends the
//! link. Blobs of a decoded frame share the memory that was read into, so who keeps one for long
//! should copy it.
//!
//! A link ends when its stream ends or fails, when a frame can't be read, or when the owner drops
//! its sender: then what is queued is written, our half is closed, and the task waits at most
//! [`LINGER`] for the other side to close too (QUIC forgets what was sent when a
//! connection closes before it has arrived). An owner that can't wait aborts the task.
//!
//! *Not here*: what frames mean; opening and closing connections.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, io};

use bytes::{Buf, BytesMut};
use callbook_overlay::api::LinkId;
use callbook_overlay::wire::{FRAME_BYTES_MAX, Frame, WireError};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::limits::{BATCH_BYTES, IDLE_BUFFER_BYTES, LINGER, OUTBOUND_FRAMES_MAX, READ_BYTES, Rate};

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;

/// What a link task tells its owner.
#[derive(Debug)]
pub enum FromLink {
    /// A frame arrived.
    Frame(LinkId, Frame),
    /// The task has ended; nothing comes from this link any more.
    Ended(LinkId, End),
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum End {
    /// The peer closed the stream.
    #[error("closed by the other side")]
    Closed,
    /// Us: the owner dropped its sender, and what was queued has been written.
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
    /// Frames written.
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

/// What a link task is told at its start.
#[derive(Debug, Clone)]
pub struct LinkSetting {
    /// Its name in [`FromLink`].
    pub link: LinkId,
    /// How fast the other side may send; `None` for no limit.
    pub rate: Option<Rate>,
    /// Where it counts.
    pub counts: Arc<LinkCounts>,
}

/// Makes the task of one link, to be spawned at once.
///
/// # Shape
/// Frames put into the sender are written in their order; dropping it closes the link after that.
/// The task's last word on `inbound` is [`FromLink::Ended`].
pub fn link<S>(
    stream: S,
    setting: LinkSetting,
    inbound: mpsc::Sender<FromLink>,
) -> (mpsc::Sender<Frame>, impl Future<Output = ()> + Send)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, outbound) = mpsc::channel(OUTBOUND_FRAMES_MAX);
    let task = async move {
        let link = setting.link;
        let end = serve(stream, setting, outbound, &inbound).await;
        if inbound.send(FromLink::Ended(link, end)).await.is_err() {
            tracing::trace!(link = link.0, "the links' owner is gone");
        }
    };
    (sender, task)
}

async fn serve<S>(
    stream: S,
    setting: LinkSetting,
    outbound: mpsc::Receiver<Frame>,
    inbound: &mpsc::Sender<FromLink>,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, writer) = stream.split();
    let mut reading = pin!(read(reader, &setting, inbound));
    let mut writing = pin!(write(writer, outbound, &setting.counts));
    tokio::select! {
        end = &mut reading => end,
        written = &mut writing => match written {
            Err(error) => End::Io(error),
            Ok(()) => {
                // How the other side ends makes no difference any more.
                if timeout(LINGER, reading).await.is_err() {
                    tracing::debug!(link = setting.link.0, "the other side did not close in time");
                }
                End::Finished
            }
        },
    }
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    setting: &LinkSetting,
    inbound: &mpsc::Sender<FromLink>,
) -> End {
    let counts = &setting.counts;
    let mut tokens = setting.rate.map(Tokens::new);
    // Read by way of a small chunk that lives as long as the link: every wake of the task polls the
    // stream, and most find nothing, so a poll must not cost an allocation.
    let mut chunk = vec![0; READ_BYTES];
    let mut buffer = BytesMut::new();
    loop {
        match reader.read(&mut chunk).await {
            Ok(0) => return End::Closed,
            Ok(size) => {
                count(&counts.bytes_received, size);
                buffer.extend_from_slice(&chunk[..size]);
            }
            Err(error) => return End::Io(error),
        }
        while let Some(length) = buffer.first_chunk::<LENGTH_BYTES>() {
            // A u32 fits a usize on every machine that runs tokio.
            let size = u32::from_be_bytes(*length) as usize;
            if size > FRAME_BYTES_MAX {
                return End::TooLarge(size);
            }
            if buffer.len() < LENGTH_BYTES + size {
                break;
            }
            buffer.advance(LENGTH_BYTES);
            let frame = match Frame::read(buffer.split_to(size).freeze()) {
                Ok(frame) => frame,
                Err(error) => return End::Unreadable(error),
            };
            count(&counts.frames_received, 1);
            if let Some(tokens) = &mut tokens {
                tokens.take(&counts.throttled).await;
            }
            if inbound.send(FromLink::Frame(setting.link, frame)).await.is_err() {
                return End::Finished;
            }
        }
        if buffer.is_empty() {
            // Its memory belongs to the frames that were cut from it.
            buffer = BytesMut::new();
        }
    }
}

async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut outbound: mpsc::Receiver<Frame>,
    counts: &LinkCounts,
) -> io::Result<()> {
    let mut batch = Vec::new();
    while let Some(frame) = outbound.recv().await {
        let mut frames = encode(&frame, &mut batch);
        while batch.len() < BATCH_BYTES
            && let Ok(frame) = outbound.try_recv()
        {
            frames += encode(&frame, &mut batch);
        }
        writer.write_all(&batch).await?;
        writer.flush().await?;
        count(&counts.frames_sent, frames);
        count(&counts.bytes_sent, batch.len());
        count(&counts.writes, 1);
        batch.clear();
        if batch.capacity() > IDLE_BUFFER_BYTES && outbound.is_empty() {
            batch = Vec::new();
        }
    }
    writer.close().await
}

/// Appends length and frame; answers how many frames that were.
fn encode(frame: &Frame, batch: &mut Vec<u8>) -> usize {
    let start = batch.len();
    batch.extend_from_slice(&[0; LENGTH_BYTES]);
    frame.write(batch);
    let size = batch.len() - start - LENGTH_BYTES;
    match u32::try_from(size) {
        Ok(length) if size <= FRAME_BYTES_MAX => {
            batch[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
            1
        }
        Ok(_) | Err(_) => {
            // The other side would end the link; a frame less leaves its asker to its deadline.
            tracing::error!(size, id = frame.id, "left out a frame of ours that is too large");
            batch.truncate(start);
            0
        }
    }
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

/// A token bucket that looks at the clock only when it is empty.
struct Tokens {
    rate: Rate,
    left: u32,
    filled: Instant,
}

impl Tokens {
    fn new(rate: Rate) -> Self {
        Self { rate, left: rate.burst, filled: Instant::now() }
    }

    async fn take(&mut self, throttled: &AtomicU64) {
        if let Err(due) = self.take_at(Instant::now) {
            count(throttled, 1);
            sleep_until(due).await;
            self.fill(Instant::now());
            // A clock may be coarser than one frame's share.
            self.left = self.left.max(1) - 1;
        }
    }

    /// Takes a token, or answers when the next one is due.
    fn take_at(&mut self, clock: impl FnOnce() -> Instant) -> Result<(), Instant> {
        if self.left == 0 {
            let due = self.fill(clock());
            if self.left == 0 {
                return Err(due);
            }
        }
        self.left -= 1;
        Ok(())
    }

    /// Adds what has become due since the last time; answers when the next token is.
    fn fill(&mut self, now: Instant) -> Instant {
        let share = std::time::Duration::from_secs(1) / self.rate.frames_per_second.get();
        let passed = now.saturating_duration_since(self.filled);
        let due = u32::try_from(passed.as_nanos() / share.as_nanos().max(1)).unwrap_or(u32::MAX);
        if due >= self.rate.burst {
            self.left = self.rate.burst;
            self.filled = now;
        } else {
            self.left = (self.left + due).min(self.rate.burst);
            self.filled += share * due;
        }
        self.filled + share
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.left, self.rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        // Goal: a bucket of 10 with 100 a second lets 10 through at once and 50 more in half a second.
        // Method: a clock of the test's own, moved to where the bucket says that the next token is due.
        let rate = Rate { frames_per_second: NonZeroU32::new(100).unwrap(), burst: 10 };
        let mut tokens = Tokens::new(rate);
        let start = tokens.filled;
        let mut now = start;
        let mut take = |now: &mut Instant| {
            while let Err(due) = tokens.take_at(|| *now) {
                assert!(due > *now, "a token that is due is given");
                *now = due;
            }
        };
        (0..10).for_each(|_| take(&mut now));
        assert_eq!(now, start, "the burst");
        (0..50).for_each(|_| take(&mut now));
        assert_eq!(now - start, Duration::from_millis(500));
        now += Duration::from_secs(60);
        let rested = now;
        (0..10).for_each(|_| take(&mut now));
        assert_eq!(now, rested, "no more than a burst is saved up");
        take(&mut now);
        assert_eq!(now - rested, Duration::from_millis(10));
    }
}
