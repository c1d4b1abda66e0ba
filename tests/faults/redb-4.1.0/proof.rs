//! Proof that the harness can fail: on redb 4.1.0, whose recovery had faults, it must find them.
#![allow(dead_code)]

#[path = "../power/mod.rs"]
mod power;

#[test]
fn the_harness_finds_the_faults_of_redb_4_1_0() {
    let images = power::images_or(2_000);
    let report = power::quietly(|| power::run(power::Plan { images, seed: 1, threads: 2, lying: false }));
    println!("redb 4.1.0: {report}");
    assert!(report.failures() > 0, "{report}");
}
