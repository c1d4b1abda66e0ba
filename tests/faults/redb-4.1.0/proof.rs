//! Proof that the harness can fail: it must find the faults in the recovery of redb 4.1.0.
#![allow(dead_code)]

#[path = "../power/mod.rs"]
mod power;

#[test]
fn the_harness_finds_the_faults_of_redb_4_1_0() {
    let long = std::env::var_os("AEGIS_TEST_LONG").is_some_and(|value| !value.is_empty());
    let images = power::images_or(if long { 20_000 } else { 1_500 });
    let report = power::quietly(|| power::run(power::Plan { images, seed: 1, threads: 2, lying: false }));
    println!("redb 4.1.0: {report}");
    assert!(report.failures() > 0, "{report}");
}
