//! Superpeers crash, vanish, freeze and come back, connections break, while everybody looks names up.

use std::time::Duration;

use super::Stage;
use crate::invariants::Rest;

/// Goal: children go on through the loss of their parents, and nothing acknowledged is lost. Method:
/// faults at random moments, never more at a time than a majority of storers survives; look-ups and new
/// names meanwhile; then all is mended.
#[test]
fn fail_over() {
    super::over_seeds("fail_over", run);
}

fn run(stage: &mut Stage) {
    // Room for all children at half of the superpeers, also as newcomers, who get three quarters of it.
    let room = (2 * stage.children.len()).div_ceil(stage.superpeers.len()).max(3) + 1;
    stage.world.children_max = (4 * room).div_ceil(3);
    stage.begin();
    stage.register_names(6);
    stage.wait(500, 2_000);
    let mut frozen = Vec::new();
    for _ in 0..stage.world.draw(3, 6) {
        stage.look_around(3);
        stage.wait(0, 300);
        let victim = stage.any_superpeer();
        let hurt = stage.down.len() + frozen.len();
        let is_up = stage.world.is_running(victim) && !stage.world.is_frozen(victim);
        match stage.world.draw(0, 5) {
            0 | 1 if is_up && hurt < stage.spare() => {
                let orphans = orphans(stage, victim);
                stage.world.crash(victim);
                stage.down.push(victim);
                if super::STANDBYS {
                    all_attached(stage, &orphans);
                }
            }
            2 if is_up && hurt < stage.spare() => {
                stage.world.vanish(victim);
                stage.down.push(victim);
            }
            3 if is_up && hurt < stage.spare() => {
                stage.world.freeze(victim);
                frozen.push(victim);
            }
            4 => {
                let child = stage.any_child();
                stage.world.break_some_link(child);
            }
            _ => stage.world.break_some_link(victim),
        }
        stage.wait(0, 300);
        stage.look_around(4);
        stage.register_names(1);
        stage.wait(100, 12_000);
        match stage.world.draw(0, 2) {
            0 => stage.restart_one(),
            1 => frozen.pop().into_iter().for_each(|index| stage.world.thaw(index)),
            _ => {}
        }
    }
    if super::MERGES {
        let side = stage.superpeers.iter().chain(&stage.children).copied();
        let side = side.filter(|index| index % 3 == 0).collect();
        stage.world.part(side);
        stage.look_around(4);
        stage.wait(1_000, 60_000);
        stage.look_around(4);
    }
    stage.mend();
    stage.settle(90, &[Rest::Answered, Rest::Maps, Rest::Parents, Rest::Found]);
    if super::REPAIRS {
        stage.settle(1, &[Rest::Copies]);
    }
}

/// The children that will hear at once that `victim`, their parent, has died, and whether they have a
/// standby that can take its place. None with a connection that broke without a word, to the parent or
/// another: it is closed later, and what is asked on it waits as long as any request.
fn orphans(stage: &mut Stage, victim: usize) -> Vec<(usize, bool)> {
    let mut orphans = Vec::new();
    for child in stage.children.clone() {
        if stage.world.parent(child) != Some(victim) || !stage.world.linked(child, victim) {
            continue;
        }
        let standbys = stage.world.standbys(child);
        let sound = |index: &usize| stage.world.is_running(*index) && !stage.world.is_frozen(*index);
        if stage.world.knows_its_links(child) {
            orphans.push((child, standbys.iter().any(sound)));
        }
    }
    orphans
}

/// A closed link is acted on at once (DESIGN §5, *Parent gone*): a second after a crash every child with
/// a sound standby has a parent that runs, another second later all have.
fn all_attached(stage: &mut Stage, orphans: &[(usize, bool)]) {
    for first in [true, false] {
        stage.world.run_for(Duration::from_secs(1));
        for (child, backed) in orphans {
            let parent = stage.world.parent(*child);
            let attached = parent.is_some_and(|parent| stage.world.is_running(parent));
            assert!(attached || first && !backed, "{child}: {parent:?}, first second: {first}");
        }
    }
}
