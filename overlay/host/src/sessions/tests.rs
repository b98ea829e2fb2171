use super::*;

fn book() -> Sessions {
    Sessions::new([60, 300].map(Duration::from_secs).to_vec())
}

fn peer(number: u16) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn at(secs: u64) -> Instant {
    Instant::from_micros(secs * 1_000_000)
}

const THERE: Seen = Seen::There(Kin::Child);
/// Lost by a child's silence since then.
fn lost(heard: u64) -> Seen {
    Seen::Lost { kin: Kin::Child, heard: at(heard) }
}

#[test]
fn a_session_ends_when_its_peer_was_last_there_and_not_when_that_is_sure() {
    // Goal: lengths without the minute in which a lost peer may come back. Method: one says goodbye after
    // 50 s, one is lost after 60 s (its bucket's bound), looked at before and after the minute.
    let mut book = book();
    book.seen(peer(1), THERE, at(0));
    book.seen(peer(2), THERE, at(0));
    assert_eq!(book.figures(at(10)).online, [2, 0]);
    book.seen(peer(1), Seen::Left, at(50));
    // Its link ends after its goodbye.
    book.seen(peer(1), lost(50), at(50));
    book.seen(peer(2), lost(60), at(60));
    let before = book.figures(at(119));
    assert_eq!((before.online, before.departures[0]), ([0, 0], [1, 0, 0, 0, 0]));
    let after = book.figures(at(120));
    assert_eq!(after.departures, [[1, 1, 0, 0, 0], [0; 5]]);
    assert_eq!(after.arrivals, [(2, 0), (0, 0)]);
    assert_eq!(after.sessions[0][0].counts, [1, 0, 0]);
    assert_eq!(after.sessions[0][1].counts, [1, 0, 0]);
    assert_eq!(after.sessions[0][1].sum, Duration::from_secs(60));
}

#[test]
fn a_peer_that_falls_silent_has_gone_when_it_was_last_heard() {
    // Goal: what takes two minutes to notice adds nothing to a session. Method: heard until 100 s, noticed at 220 s: it
    // has been away for more than a minute then, so whoever comes back has not flapped; one noticed at once (control).
    let mut book = book();
    for number in 1..=2 {
        book.seen(peer(number), THERE, at(0));
    }
    book.seen(peer(1), lost(100), at(220));
    book.seen(peer(1), THERE, at(230));
    book.seen(peer(2), lost(220), at(220));
    book.seen(peer(2), THERE, at(230));
    let figures = book.figures(at(300));
    assert_eq!((figures.departures[0][1], figures.flaps[0]), (1, 1));
    assert_eq!(figures.sessions[0][1].sum, Duration::from_secs(100));
    assert_eq!(figures.downtimes[0].sum, Duration::from_secs(130));
    // Noticed late, and back soon: away for less than a minute.
    book.seen(peer(2), lost(400), at(430));
    book.seen(peer(2), THERE, at(450));
    assert_eq!(book.figures(at(500)).flaps[0], 2);
    // What was heard before the session began is none of it.
    book.seen(peer(3), THERE, at(600));
    book.seen(peer(3), lost(590), at(610));
    assert_eq!(book.figures(at(700)).sessions[0][1].sum, Duration::from_secs(100));
}

#[test]
fn who_is_back_within_a_minute_has_flapped_and_its_session_goes_on() {
    // Goal: no departure, no arrival, one flap, one length over all. Method: lost at 100 s, back at 150 s,
    // leaves at 400 s, back at 1,000 s.
    let mut book = book();
    book.seen(peer(1), THERE, at(0));
    book.seen(peer(1), lost(100), at(100));
    book.seen(peer(1), THERE, at(150));
    // Renewals are nothing new.
    book.seen(peer(1), THERE, at(200));
    let figures = book.figures(at(300));
    assert_eq!((figures.flaps, figures.departures[0], figures.arrivals[0]), ([1, 0], [0; 5], (1, 0)));
    book.seen(peer(1), Seen::Left, at(400));
    book.seen(peer(1), THERE, at(1_000));
    let figures = book.figures(at(1_010));
    assert_eq!(figures.sessions[0][0].counts, [0, 0, 1]);
    assert_eq!(figures.sessions[0][0].sum, Duration::from_secs(400));
    assert_eq!(figures.arrivals[0], (1, 1));
    assert_eq!(figures.downtimes[0].sum, Duration::from_secs(600));
    // Exactly a minute is too late for a flap.
    book.seen(peer(1), lost(2_000), at(2_000));
    book.seen(peer(1), THERE, at(2_060));
    let figures = book.figures(at(2_070));
    assert_eq!((figures.flaps[0], figures.departures[0][1], figures.arrivals[0].1), (1, 1, 2));
}

#[test]
fn a_child_that_becomes_a_superpeer_has_not_left() {
    // Goal: promotion is no churn. Method: a child is seen as superpeer, then its attachment ends, then
    // it is lost as superpeer.
    let mut book = book();
    book.seen(peer(1), THERE, at(0));
    book.seen(peer(1), Seen::There(Kin::Superpeer), at(100));
    book.seen(peer(1), lost(100), at(100));
    let figures = book.figures(at(500));
    assert_eq!((figures.online, figures.departures), ([0, 1], [[0; 5]; 2]));
    book.seen(peer(1), Seen::Lost { kin: Kin::Superpeer, heard: at(600) }, at(600));
    let figures = book.figures(at(700));
    assert_eq!((figures.online, figures.departures), ([0, 0], [[0; 5], [0, 1, 0, 0, 0]]));
}

#[test]
fn each_class_is_told_from_the_others() {
    // Goal: six classes over a sliding day. Method: a peer for each, looked at two days after the start.
    let day = 24 * 60 * 60;
    let mut book = book();
    for (number, moves) in [
        (1, vec![0]),
        (2, vec![day + 100]),
        (3, vec![0, day + 100]),
        (4, vec![day + 100, day + 200]),
        (5, vec![0, day + 100, day + 200]),
        (6, vec![0, 100]),
    ] {
        for (index, time) in moves.into_iter().enumerate() {
            book.seen(peer(number), if index % 2 == 0 { THERE } else { Seen::Left }, at(time));
        }
    }
    assert_eq!(book.figures(at(2 * day)).classes, [[1; 6], [0; 6]]);
}

#[test]
fn the_present_ones_survive_by_age_and_all_are_seen_within_a_time() {
    // Goal: both ladders. Method: one there for two hours, one for ten minutes, one gone two hours ago.
    let mut book = book();
    book.seen(peer(3), THERE, at(0));
    book.seen(peer(3), Seen::Left, at(60));
    book.seen(peer(1), THERE, at(60));
    book.seen(peer(2), THERE, at(6_660));
    let figures = book.figures(at(7_270));
    assert_eq!(figures.uptimes, [[2, 1, 0, 0, 0, 0, 0, 0], [0; 8]]);
    assert_eq!(figures.windows, [[2, 3, 3, 3, 3, 3, 3], [0; 7]]);
    // Superpeers stand apart: each is seen by many.
    book.seen(peer(2), Seen::There(Kin::Superpeer), at(7_270));
    let figures = book.figures(at(7_270));
    assert_eq!((figures.uptimes[0][0], figures.uptimes[1][0]), (1, 1));
    assert_eq!((figures.windows[0][1], figures.windows[1][1]), (2, 1));
}

#[test]
fn who_only_tries_us_leaves_no_trace_and_who_moves_later_has_moved() {
    // Goal: a fail-over that asks two standbys is one arrival, not two. Method: one reserves at once what it
    // had attached, one after a while, one after it was lost; one is gone before it counts.
    let mut book = book();
    for number in 1..=4 {
        book.seen(peer(number), THERE, at(0));
    }
    book.seen(peer(1), Seen::Moved, at(1));
    book.seen(peer(1), lost(1), at(1));
    book.seen(peer(4), lost(2), at(2));
    book.seen(peer(2), Seen::Moved, at(30));
    book.seen(peer(3), lost(30), at(30));
    book.seen(peer(3), Seen::Moved, at(40));
    let figures = book.figures(at(100));
    assert_eq!((figures.known, figures.arrivals[0]), (3, (3, 0)));
    assert_eq!(figures.departures[0], [0, 1, 2, 0, 0]);
    assert_eq!(figures.online, [0, 0]);
}

#[test]
fn who_comes_back_only_to_try_us_has_not_flapped() {
    // Goal: as above, of one that was lost: it asks its former parent beside its standbys, and another one is first. Method:
    // lost after 100 s, back after 120 s, and moved a second later, or ten (control).
    let mut book = book();
    for (number, moved) in [(1, 121), (2, 130)] {
        book.seen(peer(number), THERE, at(0));
        book.seen(peer(number), lost(100), at(100));
        book.seen(peer(number), THERE, at(120));
        assert_eq!(book.figures(at(120)).online, [1, 0]);
        book.seen(peer(number), Seen::Moved, at(moved));
        assert_eq!(book.figures(at(moved)).online, [0, 0]);
    }
    let figures = book.figures(at(300));
    assert_eq!((figures.flaps[0], figures.departures[0]), (1, [0, 0, 2, 0, 0]));
    assert_eq!(figures.sessions[0][2].sum, Duration::from_secs(100 + 130));
}

#[test]
fn who_sees_nobody_counts_no_departures() {
    // Goal: an observer that becomes a child knows nothing of its former children's ends. Method: Blind.
    let mut book = book();
    book.seen(peer(1), THERE, at(0));
    book.seen(peer(2), THERE, at(0));
    book.seen(peer(2), lost(1), at(1));
    book.seen(peer(9), Seen::Blind, at(2));
    let figures = book.figures(at(100));
    assert_eq!((figures.online, figures.departures[0], figures.known), ([0; 2], [0; 5], 0));
}

#[test]
fn the_book_is_bounded_and_forgets_who_is_gone_longest() {
    // Goal: the bound holds, and who is there is never forgotten. Method: one stays, many come and go.
    let mut book = book();
    book.seen(peer(0), THERE, at(0));
    let many = u16::try_from(SESSIONS_KNOWN_MAX).unwrap() + 10;
    for number in 1..=many {
        book.seen(peer(number), THERE, at(u64::from(number)));
        book.seen(peer(number), Seen::Left, at(u64::from(number)));
    }
    assert_eq!(book.known.len(), SESSIONS_KNOWN_MAX);
    assert_eq!(book.figures(at(20_000)).online, [1, 0]);
    book.seen(peer(1), THERE, at(20_000));
    book.seen(peer(many), THERE, at(20_000));
    let figures = book.figures(at(20_010));
    assert_eq!(figures.arrivals[0], (u64::from(many) + 2, 1), "the first was forgotten, the last was not");
}

#[test]
fn a_known_peer_takes_less_than_two_hundred_bytes() {
    // Goal: the bound. Method: the table's part of a peer, where that is largest; there is nothing else.
    assert!((100..=200).contains(&BYTES_PER_PEER), "{BYTES_PER_PEER}");
}
