use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU8, Ordering};

use super::*;
use crate::audit::Options;
use crate::audit::merkle::verify_consistency;
use crate::audit::testing::{later, options, place};
use crate::domain::{ConnectionId, How, Identity, Peer, Roles, SystemClock};

#[expect(clippy::unnecessary_wraps, reason = "a source of random bytes may fail")]
fn random(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    bytes.fill(NEXT.fetch_add(1, Ordering::Relaxed));
    Ok(())
}

fn admin() -> Caller {
    let identity = Identity { subject: "ada".into(), how: How::UnixPeer, ..Identity::anonymous(Roles::NONE) };
    Caller { identity, connection: ConnectionId(1), peer: Peer::Loopback }
}

async fn notary(
    path: &std::path::Path,
    options: Options,
    origin: Option<&str>,
) -> Result<(Store, Arc<Notary>), NotaryError> {
    let store = Store::open(path, options).unwrap();
    let files = KeyFiles::new(path.parent().unwrap());
    let clock = Arc::new(SystemClock::start());
    let started = Notary::start(store.clone(), files, clock, random, origin.map(Into::into), None).await;
    match started {
        Ok(notary) => Ok((store, Arc::new(notary))),
        Err(error) => {
            store.shutdown();
            Err(error)
        }
    }
}

async fn append(store: &Store, count: u64) {
    store
        .transact(move |tx| (0..count).try_for_each(|n| tx.append(later(n), &Event::DaemonStopped).map(drop)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_log_gets_its_name_and_its_key_once() {
    let (directory, path) = place();
    let (store, first) = notary(&path, options(), None).await.unwrap();
    let log = store.read().unwrap().log().unwrap().unwrap();
    assert_eq!(log.origin, format!("aegis/{}", hex::encode(store.read().unwrap().store_id().unwrap())));
    let records = store.read().unwrap().records(0, 1).unwrap();
    assert_eq!(
        records[0].record().unwrap().event,
        Event::LogStarted { origin: log.origin.clone(), key: log.keys[0].key.to_string() }
    );
    let key = directory.path().join("log-key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let published = std::fs::read_to_string(directory.path().join("log-key.pub")).unwrap();
    assert_eq!(published, format!("{}\n", log.keys[0].key));
    let before = first.checkpoint().await.unwrap();
    store.shutdown();

    let (store, second) = notary(&path, options(), None).await.unwrap();
    assert_eq!(second.checkpoint().await.unwrap(), before, "nothing happened, so nothing else is said");
    store.shutdown();
    let refused = notary(&path, options(), Some("example.com/log")).await.err().unwrap();
    assert!(refused.to_string().contains("for good"), "{refused}");

    std::fs::remove_file(&key).unwrap();
    let refused = notary(&path, options(), None).await.err().unwrap();
    assert!(matches!(refused, NotaryError::OtherKey { .. }), "{refused}");
    std::fs::write(&key, SigningKey::from_seed("other", [9; 32]).unwrap().to_secret_text()).unwrap();
    let refused = notary(&path, options(), None).await.err().unwrap();
    assert!(refused.to_string().contains("other users can read"), "{refused}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let refused = notary(&path, options(), None).await.err().unwrap();
    assert!(matches!(refused, NotaryError::OtherKey { .. }), "{refused}");
}

#[tokio::test]
async fn a_record_that_was_taken_away_is_not_begun_anew_beside_its_key() {
    let (_directory, path) = place();
    let (store, _) = notary(&path, options(), None).await.unwrap();
    store.shutdown();
    drop(store);
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(path.with_extension("journal")).unwrap();
    let refused = notary(&path, Options::default(), None).await.err().unwrap();
    assert!(matches!(refused, NotaryError::OtherRecord { .. }), "{refused}");
    assert!(refused.to_string().contains("log-key"), "{refused}");
}

#[tokio::test]
async fn a_new_log_can_be_given_a_name() {
    let (_directory, path) = place();
    let refused = notary(&path, options(), Some("two words")).await.err().unwrap();
    assert!(matches!(refused, NotaryError::BadOrigin { .. }), "{refused}");
    let (store, notary) = notary(&path, options(), Some("example.com/payments")).await.unwrap();
    let checkpoint = notary.checkpoint().await.unwrap();
    assert!(checkpoint.checkpoint.to_string().starts_with("example.com/payments\n1\n"), "{checkpoint:?}");
    store.shutdown();
}

#[tokio::test]
async fn checkpoints_are_signed_and_consistent() {
    let (_directory, path) = place();
    let (store, notary) = notary(&path, options(), None).await.unwrap();
    let mut issued = vec![notary.checkpoint().await.unwrap()];
    for count in [1, 5, 300] {
        append(&store, count).await;
        issued.push(notary.checkpoint().await.unwrap());
    }
    let reader = store.read().unwrap();
    for pair in issued.windows(2) {
        let [old, new] = [&pair[0].checkpoint, &pair[1].checkpoint];
        new.note.verify(std::slice::from_ref(&pair[1].key)).unwrap();
        let [old, new] = [&old.checkpoint, &new.checkpoint];
        let proof = reader.consistency_proof(old.size, new.size).unwrap();
        verify_consistency(old.size, &old.root, new.size, &new.root, &proof).unwrap();
    }
    assert_eq!(issued[3].checkpoint.checkpoint.size, 307);
    drop(reader);
    store.shutdown();
}

/// What a relaxed store has acknowledged may be lost with the power: it is not signed before it is synced.
#[tokio::test]
async fn only_what_is_durable_is_signed() {
    let (_directory, path) = place();
    let long = std::time::Duration::from_hours(1);
    let (store, notary) = notary(&path, Options { relaxed: true, sync_every: long, ..options() }, None).await.unwrap();
    append(&store, 10).await;
    assert_eq!(*store.committed().borrow(), 11);
    assert_eq!(notary.checkpoint().await.unwrap().checkpoint.checkpoint.size, 0);
    store.shutdown();
}

#[tokio::test]
async fn a_rotation_with_the_same_request_id_is_the_same_rotation() {
    let (_directory, path) = place();
    let (store, notary) = notary(&path, options(), None).await.unwrap();
    let first = notary.rotate(&admin(), Some("one")).await.unwrap();
    let key = notary.checkpoint().await.unwrap().key.clone();
    assert_eq!(notary.rotate(&admin(), Some("one")).await.unwrap(), first);
    assert_eq!(notary.checkpoint().await.unwrap().key, key);
    assert_ne!(notary.rotate(&admin(), Some("two")).await.unwrap(), first);
    store.shutdown();
}

#[tokio::test]
async fn a_rotation_is_on_the_record_and_signed_by_both_keys() {
    let (directory, path) = place();
    let (store, first) = notary(&path, options(), None).await.unwrap();
    let before = first.checkpoint().await.unwrap();
    let rotated = first.rotate(&admin(), None).await.unwrap();
    let (old, new): (VerifierKey, VerifierKey) = (rotated.old.parse().unwrap(), rotated.new.parse().unwrap());
    assert_eq!((&old, rotated.sequence), (&before.key, 2));
    let after = first.checkpoint().await.unwrap();
    assert_eq!((&after.key, after.checkpoint.checkpoint.size), (&new, 2));
    after.checkpoint.note.verify(std::slice::from_ref(&new)).unwrap();
    assert!(after.checkpoint.note.verify(std::slice::from_ref(&old)).is_err());
    let reader = store.read().unwrap();
    let records = reader.records(1, 1).unwrap();
    let Event::LogKeyRotated { old_key, new_key, statement, by } = &records[0].record().unwrap().event else {
        panic!("another record")
    };
    assert_eq!((old_key, new_key, &**by), (&rotated.old, &rotated.new, "ada"));
    let origin = &after.checkpoint.checkpoint.origin;
    crate::audit::log::verify_rotation(statement, origin, &old, &new).unwrap();
    drop(reader);
    store.shutdown();

    // Killed between the record and the file: the key that the record names is in the other file.
    let next = directory.path().join(format!("log-key.next-{:08x}", new.id()));
    let key = directory.path().join("log-key");
    std::fs::rename(&key, &next).unwrap();
    let (store, second) = notary(&path, options(), None).await.unwrap();
    assert_eq!(second.checkpoint().await.unwrap(), after);
    assert!(key.exists() && !next.exists());
    // Killed before the record: the key that was about to sign is nobody's.
    let stray = SigningKey::from_seed(origin, [77; 32]).unwrap();
    second.files.write_next(&stray).unwrap();
    store.shutdown();
    let (store, third) = notary(&path, options(), None).await.unwrap();
    assert_eq!(third.checkpoint().await.unwrap(), after);
    assert!(third.files.read_next(stray.verifier()).unwrap().is_none(), "it is removed");
    store.shutdown();
}
