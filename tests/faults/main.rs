//! What a power failure may do to the record: no acknowledged write is lost, and no write is there in part.
//!
//! [`README.md`](README.md) has the figures and how to reproduce them.
#![expect(clippy::unwrap_used, reason = "all of this is a test, and a test says what it expects")]

mod damage;
mod power;

/// Whether the long form of the tests was asked for.
fn long() -> bool {
    std::env::var_os("AEGIS_TEST_LONG").is_some_and(|value| !value.is_empty())
}

#[test]
fn no_power_loss_removes_an_acknowledged_write_or_leaves_one_in_part() {
    let images = power::images_or(if long() { 100_000 } else { 2_000 });
    let report = power::quietly(|| power::run(power::Plan { images, seed: 1, threads: 2, lying: false }));
    println!("{report}");
    assert_eq!(report.failures(), 0, "{report}");
    assert!(report.images >= images && report.again > 0 && report.checkpoints > 0);
    assert!(report.redacted > 256, "decisions are redacted, and a whole tile is retired: {report}");
}

/// Tests the harness: it must notice what is lost on a disk that says it has synced but has not.
#[test]
fn a_disk_that_lies_about_syncs_is_detected() {
    let report = power::quietly(|| power::run(power::Plan { images: 200, seed: 1, threads: 1, lying: true }));
    assert!(report.lost > 0 && report.unopenable + report.partial > 0, "{report}");
}
