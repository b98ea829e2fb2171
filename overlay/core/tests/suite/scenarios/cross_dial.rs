//! Superpeers dial each other at the same moment.

use std::time::Duration;

use super::Stage;
use crate::invariants::Rest;

/// Goal: of the links that cross one stays, the same at both ends, and nothing asked meanwhile is left
/// unanswered. Method: all superpeers start within milliseconds, told of all or some others; names are
/// registered and looked up while links come and go; some connections break later.
#[test]
fn cross_dial() {
    super::over_seeds("cross_dial", run);
}

fn run(stage: &mut Stage) {
    let all = stage.superpeers.clone();
    for index in all.clone() {
        let told: Vec<usize> = match stage.world.draw(0, 2) {
            0 => all.clone(),
            1 => vec![all[0], all[all.len() - 1]],
            _ => (0..3).map(|_| all[stage.world.random() as usize % all.len()]).chain([all[0]]).collect(),
        };
        stage.world.start(index, &told);
        let wait = stage.world.draw(0, 30_000);
        stage.world.run_for(Duration::from_micros(wait));
    }
    for index in stage.children.clone() {
        let seeds = [stage.any_superpeer()];
        stage.world.start(index, &seeds);
    }
    if !super::HANDS_OVER {
        // Nobody takes over from those who were there first: they all have to be there.
        stage.wait(3_000, 4_000);
    }
    for _ in 0..4 {
        stage.register_names(1);
        stage.look_around(4);
        stage.wait(0, 100);
    }
    for _ in 0..stage.world.draw(0, 6) {
        let victim = stage.any_superpeer();
        stage.world.break_some_link(victim);
        stage.wait(0, 2_000);
        stage.look_around(2);
    }
    stage.settle(100, &[Rest::Answered, Rest::Maps, Rest::OneLink, Rest::Parents, Rest::Found]);
}
