//! Children that would be superpeers are asked to be some, while others crash and everybody looks names up.

use callbook_overlay::api::{Command, Notice};

use super::Stage;
use crate::invariants::Rest;

/// With fewer superpeers every child that would be one is promoted. *Specification* (DESIGN §5).
const LEAST: usize = 24;

/// Goal: a small network takes all that volunteer for superpeers, and nothing acknowledged is lost when a child
/// becomes one. Method: children say at random moments that they would; who is told that it is needed gets a certificate;
/// crashes, look-ups and new names meanwhile. Control: who does not volunteer is never asked.
#[test]
fn promotion() {
    super::over_seeds("promotion", run);
}

fn run(stage: &mut Stage) {
    stage.begin();
    stage.register_names(5);
    stage.wait(500, 2_000);
    let volunteers: Vec<usize> = stage.children.iter().copied().filter(|index| index % 3 == 0).collect();
    let mut open = volunteers.clone();
    while let Some(index) = open.pop() {
        stage.world.tell(index, Command::Volunteer(true));
        stage.look_around(3);
        if stage.world.draw(0, 3) == 0 && stage.down.len() + 1 < stage.spare() {
            let victim = stage.any_superpeer();
            if stage.world.is_running(victim) {
                stage.world.crash(victim);
                stage.down.push(victim);
            }
        }
        stage.wait(100, 8_000);
        promote(stage);
        stage.register_names(1);
        if stage.world.draw(0, 1) == 0 {
            stage.restart_one();
        }
    }
    stage.mend();
    // Who was asked and has not come is asked again after a minute.
    for _ in 0..6 {
        stage.wait(15_000, 15_000);
        promote(stage);
    }
    let left = stage.children.iter().filter(|index| volunteers.contains(index)).count();
    assert!(left == 0 || stage.superpeers.len() >= LEAST, "{left} were not asked");
    for index in &stage.children {
        let asked =
            stage.world.notices(*index).iter().any(|notice| matches!(notice, Notice::SuperpeerNeeded));
        assert!(!asked, "{index} does not volunteer");
    }
    stage.settle(90, &[Rest::Answered, Rest::Maps, Rest::Parents, Rest::Found, Rest::Copies]);
}

/// Those that were told that they are needed become superpeers.
fn promote(stage: &mut Stage) {
    for index in stage.children.clone() {
        let asked = |notice: &Notice| matches!(notice, Notice::SuperpeerNeeded);
        if stage.world.is_running(index) && stage.world.notices(index).iter().any(asked) {
            stage.children.retain(|child| *child != index);
            stage.superpeers.push(index);
            stage.world.promote(index);
        }
    }
}
