//! A short storm over two sites, with a seed that was chosen once; longer ones by
//! `scripts/chaos notify`.

use harness::Program;

#[test]
fn nothing_is_lost_or_doubled_in_a_storm() {
    Program::new("chaos")
        .args(["notify", "--seconds", "15", "--seed", "20"])
        .run()
        .success();
}
