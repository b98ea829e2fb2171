//! Superpeers join while names are registered and looked up.

use super::Stage;
use crate::invariants::Rest;

/// Goal: who joins takes over its range, and nobody is told *absent* meanwhile. Method: up to as many
/// newcomers as there were superpeers, at random moments, some at once; look-ups all the time; then
/// the records have to be with their closest.
#[test]
fn hand_over() {
    if super::HANDS_OVER {
        super::over_seeds("hand_over", run);
    }
}

fn run(stage: &mut Stage) {
    stage.begin();
    stage.register_names(8);
    stage.wait(1_000, 3_000);
    for _ in 0..stage.world.draw(1, stage.superpeers.len() as u64) {
        let newcomer = stage.world.add(true);
        let seed = stage.any_superpeer();
        stage.world.start(newcomer, &[seed]);
        stage.superpeers.push(newcomer);
        for _ in 0..3 {
            stage.look_around(3);
            stage.wait(0, 200);
        }
        stage.register_names(1);
        stage.wait(0, 4_000);
    }
    stage.settle(60, &[Rest::Answered, Rest::Maps, Rest::Parents, Rest::Copies, Rest::Found]);
}
