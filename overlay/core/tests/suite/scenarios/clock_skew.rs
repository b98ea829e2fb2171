//! Clocks that are wrong by little, by much, and that jump.

use callbook_overlay::api::{Command, Notice};

use super::Stage;
use crate::invariants::Rest;

/// A difference that is borne: below ten minutes between any two. *Specification* (DESIGN §4).
const BORNE: i64 = 280;

/// Goal: small differences cost nothing; who is far off says so and signs nothing; nobody loses a
/// record to it; once the clock is right all is well. Method: all clocks are up to 280 s off, one or two
/// of the peers hours or days for a while.
#[test]
fn clock_skew() {
    super::over_seeds("clock_skew", run);
}

fn run(stage: &mut Stage) {
    for index in [stage.superpeers.clone(), stage.children.clone()].concat() {
        let offset = stage.world.draw(0, 2 * BORNE as u64) as i64 - BORNE;
        stage.world.set_clock_offset(index, offset);
    }
    stage.begin();
    stage.register_names(6);
    stage.wait(5_000, 30_000);
    let mut wrong = vec![stage.any_child()];
    if stage.superpeers.len() > 3 {
        wrong.push(stage.any_superpeer());
    }
    // In opposite directions: two that are wrong alike, and hear of nobody else, can't tell.
    for (index, sign) in wrong.iter().zip([1, -1]) {
        let offset = [3_600, 7_200, 86_400 * 2, 86_400 * 5][stage.world.draw(0, 3) as usize];
        stage.world.set_clock_offset(*index, sign * offset);
    }
    for _ in 0..6 {
        stage.look_around(3);
        stage.wait(2_000, 20_000);
    }
    // Far off by now for longer than a minute, in which everybody looks at its clock.
    let child = wrong[0];
    stage.wait(60_000, 70_000);
    let noticed = stage.world.notices(child).iter().any(|notice| matches!(notice, Notice::Skewed { .. }));
    assert!(noticed, "{child} has not noticed that its clock is wrong");
    let signed = stage.world.ledger.all_signed(child);
    let (held, _) = stage.world.authority.held("signed-in-vain");
    stage.world.tell(child, Command::Register(Box::new(held)));
    stage.wait(1_000, 2_000);
    assert_eq!(stage.world.ledger.all_signed(child), signed, "{child} signs by a clock that is wrong");
    for index in wrong {
        stage.world.set_clock_offset(index, 0);
    }
    stage.settle(120, &[Rest::Answered, Rest::Maps, Rest::Parents, Rest::Found]);
}
