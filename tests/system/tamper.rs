//! Tampering with an exported record: whatever is changed, taken out, doubled, moved or cut off, it is noticed.
//!
//! Every byte of a small bundle is changed in the unit tests (`audit::evidence`). Here it is a large one, that a daemon
//! has written: 300 changes, and 10,000 with `AEGIS_TEST_LONG`.

use std::collections::BTreeMap;

use aegis::audit::evidence::{Trust, verify_bundle};
use aegis::proto::v1;

use crate::harness::{Setup, ask, propose, stderr};

/// How many decisions the log has, from as many callers at once.
const DECISIONS: usize = 2_000;

/// Random numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

/// Changes a bundle in some way. What is done is said; nothing is said where it comes out as it was.
fn tamper(bundle: &mut Vec<u8>, dice: &mut Dice) -> Option<&'static str> {
    let before = bundle.clone();
    let len = bundle.len();
    // Somewhere in a line, so that records are meant as often as anything else.
    let line = |bundle: &[u8], at: usize| {
        let start = bundle[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let end = bundle[at..].iter().position(|byte| *byte == b'\n').map_or(bundle.len(), |newline| at + newline + 1);
        start..end
    };
    let (at, other) = (dice.roll(len), dice.roll(len));
    let block = |at: usize| at / 512 * 512..at / 512 * 512 + 512;
    let what = match dice.roll(10) {
        0..=2 => {
            bundle[at] ^= 1 << dice.roll(8);
            "a bit flipped"
        }
        3 => {
            bundle.drain(line(bundle, at));
            "a line taken out"
        }
        4 => {
            let line = bundle[line(bundle, at)].to_vec();
            bundle.splice(at..at, line);
            "a line put in"
        }
        5 => {
            let (first, second) = (bundle[block(at)].to_vec(), bundle[block(other)].to_vec());
            bundle[block(at)].copy_from_slice(&second);
            bundle[block(other)].copy_from_slice(&first);
            "two blocks swapped"
        }
        6 => {
            let copy = bundle[block(at)].to_vec();
            bundle.splice(block(at).start..block(at).start, copy);
            "a block doubled"
        }
        7 => {
            bundle.drain(block(at));
            "a block taken out"
        }
        8 => {
            bundle.truncate(at);
            "cut off"
        }
        _ => {
            // A line in place of another of the same length: as well made as it can be without the tiles.
            let (first, second) = (line(bundle, at), line(bundle, other));
            if first.len() == second.len() {
                let second = bundle[second].to_vec();
                bundle[first].copy_from_slice(&second);
            } else {
                bundle[at] = bundle[at].wrapping_add(1);
            }
            "a line in place of another"
        }
    };
    (*bundle != before).then_some(what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_of_a_large_bundle_goes_unnoticed() {
    let daemon = Setup::new().start();
    let agent = daemon.agent().await;
    let mut asked = tokio::task::JoinSet::new();
    for n in 0..DECISIONS {
        let mut agent = agent.clone();
        asked.spawn(async move { ask(&mut agent, propose("read_file", &format!("{n}"))).await });
    }
    let decisions: Vec<v1::Decision> = asked.join_all().await;
    assert_eq!(decisions.len(), DECISIONS);
    let path = daemon.home.path().join("audit.tar");
    let output = daemon.cli(&["audit", "export", "--with-proof", "-o", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let whole = std::fs::read(&path).unwrap();
    let verify = |bundle: &[u8]| verify_bundle(bundle, Trust::default(), |_, _| {});
    assert!(verify(&whole).unwrap().checkpoint.size > DECISIONS as u64);

    let samples = if std::env::var_os("AEGIS_TEST_LONG").is_some() { 10_000 } else { 300 };
    let (mut dice, mut done) = (Dice(0x9e37_79b9_7f4a_7c15), BTreeMap::<_, usize>::new());
    while done.values().sum::<usize>() < samples {
        let mut bundle = whole.clone();
        let Some(what) = tamper(&mut bundle, &mut dice) else { continue };
        assert!(verify(&bundle).is_err(), "not noticed: {what}, after {done:?}");
        *done.entry(what).or_default() += 1;
    }
    println!("{samples} changes of a bundle of {} bytes, all noticed: {done:?}", whole.len());
    assert_eq!(done.len(), 8, "every kind of change was tried: {done:?}");
}
