//! Names that are there, names that nobody has, and storers that can't be asked.

use callbook_overlay::api::Command;

use super::Stage;
use crate::invariants::Rest;

/// Goal: *absent* is said of names that nobody has, and of no other; what can't be told is unknown; a
/// revoked device is not told for long. Method: storers freeze, crash and have their connections
/// broken, dials fail; look-ups of names old, new, half registered, revoked and made up.
#[test]
fn absent_or_unknown() {
    super::over_seeds("absent_or_unknown", run);
}

fn run(stage: &mut Stage) {
    stage.begin();
    stage.register_names(6);
    let (lost, kept) = (stage.any_child(), stage.any_child());
    let (device, serial) = stage.world.authority.held("robbed");
    stage.world.tell(lost, Command::Register(Box::new(device)));
    if lost != kept {
        let (device, _) = stage.world.authority.held("robbed");
        stage.world.tell(kept, Command::Register(Box::new(device)));
    }
    stage.names.push(String::from("robbed"));
    stage.wait(2_000, 4_000);
    stage.world.conditions.dials_failed = 30;
    let epoch = stage.world.authority.revoke("robbed", serial, stage.world.unix());
    let superpeer = stage.any_superpeer();
    stage.world.tell(superpeer, Command::Put(epoch));
    let mut frozen = Vec::new();
    for round in 0..stage.world.draw(4, 8) {
        stage.names.push(format!("made-up-{round}"));
        let victim = stage.any_superpeer();
        let is_up = stage.world.is_running(victim) && !stage.world.is_frozen(victim);
        match stage.world.draw(0, 4) {
            0 if is_up && stage.down.len() + frozen.len() < stage.spare() => {
                stage.world.freeze(victim);
                frozen.push(victim);
            }
            1 if is_up && stage.down.len() + frozen.len() < stage.spare() => {
                stage.world.crash(victim);
                stage.down.push(victim);
            }
            2 => frozen.pop().into_iter().for_each(|index| stage.world.thaw(index)),
            3 => stage.restart_one(),
            _ => stage.world.break_some_link(victim),
        }
        stage.register_names(1);
        for _ in 0..4 {
            stage.look_around(3);
            stage.wait(0, 400);
        }
        stage.wait(0, 15_000);
    }
    stage.world.conditions.dials_failed = 0;
    stage.mend();
    stage.settle(90, &[Rest::Answered, Rest::Maps, Rest::Parents, Rest::Found]);
}
