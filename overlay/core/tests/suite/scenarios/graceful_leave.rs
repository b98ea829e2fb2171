//! Superpeers leave, one after another, until few are left.

use super::Stage;
use crate::invariants::Rest;

/// Goal: who says goodbye loses nothing, be it the last but one of a name's storers. Method: all but
/// two superpeers leave with a short time between, children too; look-ups meanwhile and after.
#[test]
fn graceful_leave() {
    if super::HANDS_OVER {
        super::over_seeds("graceful_leave", run);
    }
}

fn run(stage: &mut Stage) {
    stage.begin();
    stage.register_names(8);
    stage.wait(1_000, 3_000);
    while stage.superpeers.len() > 2 {
        stage.look_around(2);
        let index = stage.world.random() as usize % stage.superpeers.len();
        let leaver = stage.superpeers.swap_remove(index);
        stage.world.leave(leaver);
        for _ in 0..2 {
            stage.look_around(3);
            stage.wait(0, 300);
        }
        if stage.children.len() > 2 && stage.world.draw(0, 2) == 0 {
            let child = stage.children.pop().expect("a child");
            stage.world.leave(child);
        }
        stage.wait(500, 5_000);
    }
    stage.settle(60, &[Rest::Answered, Rest::Maps, Rest::Parents, Rest::Copies, Rest::Found]);
}
