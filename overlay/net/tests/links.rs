//! Two swarms on loopback, each with nothing but the overlay's behaviour, exchange frames.

#![expect(clippy::unwrap_used, reason = "a test whose set-up fails has failed")]

mod pair;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use callbook_net::limits::Rate;
use callbook_net::{End, FromLink, Full, LinkCounts, Links, is_refusal, multiaddr};
use callbook_overlay::api::{Address, LinkId, Transport};
use callbook_overlay::cbor::Blob;
use callbook_overlay::key::{Key, NetworkId};
use callbook_overlay::wire::{Closest, FRAME_BYTES_MAX, Frame, Known, Message, Put};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::swarm::Stream;

use self::pair::{Pair, connect, connect_twice, fail_to_dial};

const HOME: NetworkId = NetworkId::from_bytes([1; 32]);
const ABROAD: NetworkId = NetworkId::from_bytes([2; 32]);
const BOTH: [Transport; 2] = [Transport::Tcp, Transport::Quic];

const LINK: LinkId = LinkId(1);

/// One end: an owner with one link.
struct Side {
    links: Links<Stream>,
    counts: Arc<LinkCounts>,
}

impl Side {
    fn new(stream: Stream, rate: Option<Rate>) -> Self {
        let counts = Arc::new(LinkCounts::default());
        let mut links = Links::new(rate, Arc::clone(&counts));
        links.insert(LINK, stream);
        Self { links, counts }
    }

    fn send(&mut self, frame: &Frame) {
        self.links.send(LINK, frame).unwrap();
        self.links.flush();
    }

    async fn frame(&mut self) -> Frame {
        match self.links.next().await {
            FromLink::Frame(_, frame) => frame,
            FromLink::Ended(_, end) => panic!("the link ended: {end}"),
        }
    }

    async fn end(&mut self) -> End {
        match self.links.next().await {
            FromLink::Ended(_, end) => end,
            FromLink::Frame(_, frame) => panic!("a frame came: {frame:?}"),
        }
    }
}

fn small(id: u64) -> Frame {
    Frame {
        id,
        message: Message::Closest(Closest {
            key: Key::from_bytes([id as u8; 32]),
            count: 20,
            known: Known::default(),
            remembered: Known::default(),
        }),
    }
}

fn large(id: u64) -> Frame {
    let records = vec![Blob(Bytes::from(vec![id as u8; FRAME_BYTES_MAX - 100]))];
    Frame { id, message: Message::Put(Put { records }) }
}

#[tokio::test]
async fn frames_of_all_sizes_pass_both_ways() {
    // Goal: what is sent arrives once, whole and in order. Method: small and large frames in turn from
    // both sides at once, over each transport, compared with what was sent.
    for transport in BOTH {
        let Pair { dialler, listener, tasks: _tasks } = connect(HOME, HOME, transport).await;
        let mut dialler = Side::new(dialler.await.unwrap(), None);
        dialler.send(&small(0));
        let mut listener = Side::new(listener.await.unwrap(), None);
        assert_eq!(listener.frame().await, small(0));
        let sent = |id: u64| if id.is_multiple_of(7) { large(id) } else { small(id) };
        for id in 1..100 {
            dialler.send(&sent(id));
            listener.send(&sent(id));
        }
        // An owner writes while it waits, so both wait until both have everything.
        let (mut there, mut here) = (1, 1);
        while there < 100 || here < 100 {
            tokio::select! {
                frame = listener.frame() => {
                    assert_eq!(frame, sent(there), "{transport:?}");
                    there += 1;
                }
                frame = dialler.frame() => {
                    assert_eq!(frame, sent(here), "{transport:?}");
                    here += 1;
                }
            }
        }
        assert_eq!(dialler.counts.frames_sent.load(Ordering::Relaxed), 100);
        assert_eq!(listener.counts.frames_received.load(Ordering::Relaxed), 100);
        let (sent, received) = (&dialler.counts.bytes_sent, &listener.counts.bytes_received);
        assert_eq!(sent.load(Ordering::Relaxed), received.load(Ordering::Relaxed));
    }
}

#[tokio::test]
async fn what_was_queued_arrives_before_a_link_closes() {
    // Goal: closing loses nothing. Method: queue many frames, close at once, count what arrives before
    // the end.
    for transport in BOTH {
        let Pair { dialler, listener, tasks: _tasks } = connect(HOME, HOME, transport).await;
        let mut dialler = Side::new(dialler.await.unwrap(), None);
        for id in 0..300 {
            dialler.links.send(LINK, &small(id)).unwrap();
        }
        dialler.links.close(LINK);
        let dialler = tokio::spawn(async move { dialler.end().await });
        let mut listener = Side::new(listener.await.unwrap(), None);
        for id in 0..300 {
            assert_eq!(listener.frame().await, small(id), "{transport:?}");
        }
        assert!(matches!(listener.end().await, End::Closed), "{transport:?}");
        assert!(matches!(dialler.await.unwrap(), End::Finished), "{transport:?}");
    }
}

#[tokio::test]
async fn a_frame_that_is_too_large_or_unreadable_ends_the_link() {
    // Goal: neither is waited for, nor is anything after it read. Method: a raw writer sends a length
    // over the maximum, and a frame of garbage with a good one behind.
    let mut good = Vec::new();
    small(1).write(&mut good);
    let good = [&u32::try_from(good.len()).unwrap().to_be_bytes()[..], &good].concat();
    let too_large = (FRAME_BYTES_MAX as u32 + 1).to_be_bytes().to_vec();
    let garbage = [&[0, 0, 0, 3, 0xff, 0xff, 0xff][..], &good].concat();
    for (bytes, word) in [(too_large, "too_large"), (garbage, "unreadable")] {
        let Pair { dialler, listener, tasks: _tasks } = connect(HOME, HOME, Transport::Tcp).await;
        let mut dialler = dialler.await.unwrap();
        dialler.write_all(&good).await.unwrap();
        dialler.write_all(&bytes).await.unwrap();
        dialler.flush().await.unwrap();
        let mut listener = Side::new(listener.await.unwrap(), None);
        assert_eq!(listener.frame().await, small(1));
        assert_eq!(listener.end().await.word(), word);
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_still_read() {
    // Goal: a stalled writer does not stop its reader. Method: one side never reads; the other queues
    // more than any window holds, and still gets every frame.
    for transport in BOTH {
        let Pair { dialler, listener, tasks: _tasks } = connect(HOME, HOME, transport).await;
        let mut deaf = dialler.await.unwrap();
        let mut frame = Vec::new();
        small(3).write(&mut frame);
        let frame = [&u32::try_from(frame.len()).unwrap().to_be_bytes()[..], &frame].concat();
        deaf.write_all(&frame).await.unwrap();
        deaf.flush().await.unwrap();
        let mut listener = Side::new(listener.await.unwrap(), None);
        assert_eq!(listener.frame().await, small(3));
        let full = (0..1_000).find_map(|_| {
            listener.links.flush();
            listener.links.send(LINK, &large(1)).err()
        });
        assert_eq!(full, Some(Full), "{transport:?}");
        for _ in 0..100 {
            deaf.write_all(&frame).await.unwrap();
            deaf.flush().await.unwrap();
            assert_eq!(listener.frame().await, small(3), "{transport:?}");
        }
    }
}

#[tokio::test]
async fn networks_do_not_meet() {
    // Goal: a peer of another network gets no link. Method: the dialler's stream is offered lazily, so it
    // starts; it must end without a frame, and the listener must not hear of it.
    for transport in BOTH {
        let Pair { dialler, mut listener, tasks: _tasks } = connect(HOME, ABROAD, transport).await;
        if let Some(stream) = dialler.await {
            let mut dialler = Side::new(stream, None);
            dialler.send(&small(1));
            dialler.end().await;
        }
        assert!(futures::poll!(&mut listener).is_pending(), "{transport:?}");
    }
}

#[tokio::test]
async fn a_second_stream_on_a_connection_is_reset() {
    // Goal: the listener takes one stream and no more. Method: a dialler that opens two; the one that is
    // not taken ends, the other works.
    for transport in BOTH {
        let (streams, listener, _guard) = connect_twice(HOME, transport).await;
        let mut ended = Vec::new();
        for mut stream in streams {
            ended.push(tokio::spawn(async move {
                let mut frame = Vec::new();
                small(9).write(&mut frame);
                let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
                if stream.write_all(&[&length[..], &frame].concat()).await.is_err()
                    || stream.flush().await.is_err()
                {
                    return true;
                }
                matches!(stream.read(&mut [0; 4]).await, Ok(0) | Err(_))
            }));
        }
        let mut listener = Side::new(listener.await.unwrap(), None);
        assert_eq!(listener.frame().await, small(9));
        let (first, rest, _) = futures::future::select_all(ended).await.into_parts_of();
        assert!(first, "{transport:?}");
        assert!(!rest[0].is_finished(), "{transport:?}: both streams ended");
    }
}

/// Names the parts of what `select_all` gives.
trait Parts<T> {
    fn into_parts_of(self) -> (bool, Vec<T>, usize);
}

impl<T, E: std::fmt::Debug> Parts<T> for (Result<bool, E>, usize, Vec<T>) {
    fn into_parts_of(self) -> (bool, Vec<T>, usize) {
        (self.0.unwrap(), self.2, self.1)
    }
}

#[tokio::test]
async fn a_link_above_its_rate_waits() {
    // Goal: the rate holds a link back and loses nothing. Method: a burst of 5 at a high rate; ten frames
    // arrive, and the waits were counted.
    let Pair { dialler, listener, tasks: _tasks } = connect(HOME, HOME, Transport::Tcp).await;
    let mut dialler = Side::new(dialler.await.unwrap(), None);
    for id in 0..10 {
        dialler.send(&small(id));
    }
    let rate = Rate { frames_per_second: 100.try_into().unwrap(), burst: 5 };
    let mut listener = Side::new(listener.await.unwrap(), Some(rate));
    for id in 0..10 {
        assert_eq!(listener.frame().await, small(id));
    }
    assert!(listener.counts.throttled.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_host_where_nobody_listens_refuses_and_one_that_hears_and_says_nothing_does_not() {
    // A port that was free a moment ago; then one that listens and closes what it accepts. The kinds of errors
    // are lost in libp2p's layers: this fails if their text changes too.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let address = multiaddr(&Address { ip: address.ip(), port: address.port() }, Transport::Tcp);
    let closing = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let closed = fail_to_dial(address.clone()).await;
    assert!(!is_refusal(&closed), "{closed:?}");
    closing.join().unwrap();
    let refused = fail_to_dial(address).await;
    assert!(is_refusal(&refused), "{refused:?}");
}
