//! A policy that changes under a daemon at work: whole or not at all, however the file was changed.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aegis::proto::v1::watch_policy_response::Event;
use aegis::proto::v1::{self, Outcome};
use tonic::{Code, Streaming};

use crate::harness::{
    Admin, DEADLINE, Daemon, Setup, ask, eventually, fields, findings, healthy, propose, refusal, update, whole_log,
};

/// A policy that is known by its last rule. Whatever is missing of it, another rule decides, or none.
fn policy(name: &str, approval: &str) -> String {
    let mut yaml = String::from("rules:\n");
    for n in 0..200 {
        let _ = writeln!(
            yaml,
            "  - {{name: {name}-{n}, match: {{type: 'other-{n}', target: '{name}*'}}, approval: block}}"
        );
    }
    let _ = writeln!(yaml, "  - {{name: {name}, match: {{type: x}}, risk_level: low, approval: {approval}}}");
    yaml
}

fn a() -> String {
    policy("a", "auto")
}

fn b() -> String {
    policy("b", "block")
}

/// The revision that a policy has, or would have.
async fn revision_of(admin: &mut Admin, yaml: &str) -> String {
    let layers = vec![v1::PolicyLayer { name: "policy.yaml".into(), yaml: yaml.to_owned() }];
    let valid = admin.validate_policy(v1::ValidatePolicyRequest { layers }).await.unwrap().into_inner();
    assert!(valid.valid == Some(true), "{:?}", valid.errors);
    valid.revision
}

/// Waits until this revision is in force.
async fn in_force(admin: &Admin, revision: &str) {
    eventually("the policy is in force", || {
        let mut admin = admin.clone();
        async move {
            let policy = admin.get_policy(v1::GetPolicyRequest::default()).await.ok()?.into_inner().policy?;
            (policy.revision == revision).then_some(())
        }
    })
    .await;
}

/// Agents that propose all the time, and check that each answer is wholly of one policy.
struct Load {
    stop: Arc<AtomicBool>,
    agents: Vec<tokio::task::JoinHandle<usize>>,
}

impl Load {
    async fn start(daemon: &Daemon, a: &str, b: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut agents = Vec::new();
        for _ in 0..8 {
            let (mut agent, stop) = (daemon.agent().await, Arc::clone(&stop));
            let (a, b) = (a.to_owned(), b.to_owned());
            agents.push(tokio::spawn(async move {
                let mut decided = 0;
                while !stop.load(Ordering::Acquire) {
                    let decision = ask(&mut agent, propose("x", "y")).await;
                    let as_a = (a.as_str(), "a", Outcome::Allow);
                    let as_b = (b.as_str(), "b", Outcome::Deny);
                    let is = (decision.policy_revision.as_str(), decision.matched_rule.as_str(), decision.outcome());
                    assert!(is == as_a || is == as_b, "half of a policy: {decision:?}");
                    decided += 1;
                }
                decided
            }));
        }
        Self { stop, agents }
    }

    /// Stops them; every answer must have been right, and every row of the record, too.
    async fn stop(self, daemon: &Daemon, a: &str, b: &str) {
        self.stop.store(true, Ordering::Release);
        let mut decided = 0;
        for agent in self.agents {
            decided += agent.await.unwrap();
        }
        let rows = daemon.rows().await;
        assert_eq!(rows.len(), decided);
        for row in rows {
            let is = (row.policy_revision.as_str(), row.matched_rule.as_str());
            assert!(is == (a, "a") || is == (b, "b"), "half of a policy: {row:?}");
        }
        let mut loaded = Vec::new();
        for record in whole_log(daemon).await {
            if record.text("/kind") == "policy_loaded" {
                loaded.push(record.text("/revision").to_owned());
            }
        }
        assert!(loaded.iter().all(|revision| revision == a || revision == b), "{loaded:?}");
    }
}

/// Changes the policy from A to B and back in one way, again and again under load.
async fn swapped_by(setup: Setup, file: &Path, mut write: impl FnMut(&Path, &str)) {
    let (a, b) = (a(), b());
    let daemon = setup.start();
    let mut admin = daemon.admin().await;
    let (rev_a, rev_b) = (revision_of(&mut admin, &a).await, revision_of(&mut admin, &b).await);
    in_force(&admin, &rev_a).await;
    let load = Load::start(&daemon, &rev_a, &rev_b).await;
    for _ in 0..5 {
        write(file, &b);
        in_force(&admin, &rev_b).await;
        write(file, &a);
        in_force(&admin, &rev_a).await;
    }
    load.stop(&daemon, &rev_a, &rev_b).await;
    healthy(&daemon, "aegis.policy", true).await;
}

fn with_a() -> (Setup, std::path::PathBuf) {
    let setup = Setup::new().policy(&a());
    let file = setup.home().join("policy.yaml");
    (setup, file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_renamed_over_the_policy_is_taken_whole() {
    let (setup, file) = with_a();
    swapped_by(setup, &file, |file, yaml| {
        let new = file.with_extension("new");
        fs::write(&new, yaml).unwrap();
        fs::rename(&new, file).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_truncated_and_written_in_pieces_is_taken_whole() {
    let (setup, file) = with_a();
    swapped_by(setup, &file, |file, yaml| {
        let mut file = File::create(file).unwrap();
        for piece in yaml.as_bytes().chunks(1000) {
            file.write_all(piece).unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_takes_its_time_is_waited_for() {
    let (setup, file) = with_a();
    swapped_by(setup, &file, |path, yaml| {
        let mut file = File::create(path).unwrap();
        // Whole rules: what is there is a valid policy all the time.
        let lines: Vec<&str> = yaml.split_inclusive('\n').collect();
        for half in lines.chunks(lines.len() / 2) {
            file.write_all(half.concat().as_bytes()).unwrap();
            // Several times as long as a file must have been left alone before it is read.
            std::thread::sleep(Duration::from_millis(100));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_deleted_and_made_again_is_taken_whole() {
    let (setup, file) = with_a();
    swapped_by(setup, &file, |file, yaml| {
        fs::remove_file(file).unwrap();
        fs::write(file, yaml).unwrap();
    })
    .await;
}

/// What kubelet does: files in a directory of their own, and the `..data` link swapped to it.
fn config_map(volume: &Path, yaml: &str, generation: usize) {
    let (data, old) = (volume.join("..data"), fs::read_link(volume.join("..data")).ok());
    let fresh = format!("..2026_01_01_{generation}");
    fs::create_dir(volume.join(&fresh)).unwrap();
    fs::write(volume.join(&fresh).join("policy.yaml"), yaml).unwrap();
    symlink(&fresh, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), data).unwrap();
    if let Some(old) = old {
        fs::remove_dir_all(volume.join(old)).unwrap();
    } else {
        symlink("..data/policy.yaml", volume.join("policy.yaml")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_map_that_kubelet_swaps_is_taken_whole() {
    let setup = Setup::new();
    let volume = setup.home().join("volume");
    fs::create_dir(&volume).unwrap();
    config_map(&volume, &a(), 0);
    let file = volume.join("policy.yaml");
    let setup = setup.args(&[file.to_str().unwrap()]);
    let mut generation = 0;
    swapped_by(setup, &volume, |volume, yaml| {
        generation += 1;
        config_map(volume, yaml, generation);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_always_changes_does_not_keep_a_policy_from_being_read() {
    let (setup, file) = with_a();
    let (stop, neighbour) = (Arc::new(AtomicBool::new(false)), setup.home().join("neighbour.log"));
    let busy = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut log = File::create(neighbour).unwrap();
            while !stop.load(Ordering::Acquire) {
                writeln!(log, "still here").unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    swapped_by(setup, &file, |file, yaml| fs::write(file, yaml).unwrap()).await;
    stop.store(true, Ordering::Release);
    busy.join().unwrap();
}

async fn next(stream: &mut Streaming<v1::WatchPolicyResponse>) -> Event {
    loop {
        let message = tokio::time::timeout(DEADLINE, stream.message()).await.expect("the stream says something");
        match message.unwrap().expect("the stream goes on").event.expect("a message says something") {
            Event::Heartbeat(_) => {}
            event => return event,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_policy_changes_nothing_and_is_reported_everywhere() {
    let (setup, file) = with_a();
    let daemon = setup.start();
    let mut admin = daemon.admin().await;
    let (rev_a, rev_b) = (revision_of(&mut admin, &a()).await, revision_of(&mut admin, &b()).await);
    let mut stream = admin.watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();
    let Event::Loaded(first) = next(&mut stream).await else { panic!("first comes what is in force") };
    assert_eq!(first.revision, rev_a);
    let load = Load::start(&daemon, &rev_a, &rev_b).await;

    let bad = "rules:\n  - {name: b, match: {type: x}, aproval: block}\n";
    let breaks: [(&str, &dyn Fn()); 4] = [
        ("did you mean `approval`", &|| fs::write(&file, bad).unwrap()),
        ("", &|| fs::write(&file, "").unwrap()),
        ("No such file", &|| fs::remove_file(&file).unwrap()),
        ("UTF-8", &|| fs::write(&file, b"rules: \xff").unwrap()),
    ];
    for (before, (says, make_bad)) in breaks.into_iter().enumerate() {
        make_bad();
        let Event::Rejected(rejected) = next(&mut stream).await else { panic!("the change is refused: {says}") };
        assert_eq!(rejected.kept_revision, rev_a);
        let finding = &rejected.errors[0];
        assert!(finding.message.contains(says) && finding.file.ends_with("policy.yaml"), "{finding:?}");
        if says.starts_with("did you mean") {
            assert_eq!((finding.line, finding.path.as_str()), (2, "rules[0].aproval"));
        }
        healthy(&daemon, "aegis.policy", false).await;
        healthy(&daemon, "", true).await;
        daemon.logs("the last good one stays in force").await;
        in_force(&admin, &rev_a).await;
        let on_record = eventually("the refusal is on the record", || async {
            let log = whole_log(&daemon).await;
            let rejected: Vec<_> = log.iter().filter(|record| record.text("/kind") == "policy_rejected").collect();
            (rejected.len() == before + 1).then(|| rejected[before].json.clone())
        })
        .await;
        assert_eq!(on_record["kept"], rev_a);
        assert!(on_record["errors"][0].as_str().unwrap().contains(says), "{on_record}");
    }

    // The old text again: all is well, and whoever watches hears so.
    fs::write(&file, a()).unwrap();
    let Event::Loaded(back) = next(&mut stream).await else { panic!("what is in force is told again") };
    assert_eq!(back.revision, rev_a);
    healthy(&daemon, "aegis.policy", true).await;
    // Refused once more, and then a new one.
    fs::write(&file, bad).unwrap();
    assert!(matches!(next(&mut stream).await, Event::Rejected(_)));
    fs::write(&file, b()).unwrap();
    let Event::Loaded(new) = next(&mut stream).await else { panic!("the new one is in force") };
    assert_eq!(new.revision, rev_b);
    healthy(&daemon, "aegis.policy", true).await;
    load.stop(&daemon, &rev_a, &rev_b).await;
}

#[tokio::test]
async fn the_layers_are_one_policy_and_each_is_watched() {
    let setup = Setup::new();
    let (base, env) = (setup.home().join("base.yaml"), setup.home().join("env.yaml"));
    fs::write(&base, "rules: [{name: x, match: {type: x}, risk_level: low, approval: auto}]").unwrap();
    fs::write(&env, "defaults: {approval: block}").unwrap();
    let daemon = setup.args(&[base.to_str().unwrap(), env.to_str().unwrap()]).start();
    let (mut agent, mut admin) = (daemon.agent().await, daemon.admin().await);
    let first = ask(&mut agent, propose("x", "")).await;
    assert_eq!((first.outcome(), first.matched_rule.as_str()), (Outcome::Allow, "x"));
    assert_eq!(ask(&mut agent, propose("y", "")).await.outcome(), Outcome::Deny);
    let policy = admin.get_policy(v1::GetPolicyRequest::default()).await.unwrap().into_inner().policy.unwrap();
    let names: Vec<_> = policy.layers.iter().map(|layer| layer.name.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["base.yaml", "env.yaml"]);

    fs::write(&env, "rules: [{name: x, match: {type: x}, approval: block}]").unwrap();
    let second = daemon.policy_after(&first.policy_revision).await;
    let blocked = ask(&mut agent, propose("x", "")).await;
    assert_eq!((blocked.outcome(), blocked.policy_revision.as_str()), (Outcome::Deny, second.as_str()));

    // Without one of its layers it is no policy.
    fs::remove_file(&env).unwrap();
    healthy(&daemon, "aegis.policy", false).await;
    assert_eq!(ask(&mut agent, propose("x", "")).await.outcome(), Outcome::Deny);

    fs::write(&env, "{}").unwrap();
    daemon.policy_after(&second).await;
    fs::write(&base, "rules: [{name: z, match: {type: x}, risk_level: low, approval: auto}]").unwrap();
    eventually("the base is watched, too", || {
        let mut agent = agent.clone();
        async move { (ask(&mut agent, propose("x", "")).await.matched_rule == "z").then_some(()) }
    })
    .await;

    let update = update(a(), "");
    let refused = admin.update_policy(update).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::FailedPrecondition, "POLICY_NOT_WRITABLE".to_owned()));
    assert!(refused.message().contains("several layers"), "{}", refused.message());
}

#[tokio::test]
async fn every_revision_that_ever_was_can_be_read() {
    let (setup, file) = with_a();
    let daemon = setup.start();
    let mut admin = daemon.admin().await;
    let (rev_a, rev_b) = (revision_of(&mut admin, &a()).await, revision_of(&mut admin, &b()).await);
    fs::write(&file, b()).unwrap();
    in_force(&admin, &rev_b).await;
    let daemon = daemon.restart();
    let mut admin = daemon.admin().await;
    let of = |revision: &str| v1::GetPolicyRequest { revision: revision.to_owned() };
    let old = admin.get_policy(of(&rev_a)).await.unwrap().into_inner().policy.unwrap();
    assert_eq!(
        (old.revision.as_str(), old.layers[0].yaml.as_str(), old.rule_count),
        (rev_a.as_str(), a().as_str(), 201)
    );
    assert_eq!(old.loaded_at, None);
    let now = admin.get_policy(of(&rev_b)).await.unwrap().into_inner().policy.unwrap();
    assert!(now.loaded_at.is_some());
    let refused = admin.get_policy(of(&"0".repeat(64))).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::NotFound, "NO_SUCH_REVISION".to_owned()));
    let short = admin.get_policy(of(&rev_a[..12])).await.unwrap().into_inner().policy.unwrap();
    assert_eq!(short.revision, rev_a, "its first digits are enough");
    for malformed in ["nonsense", &rev_a[..3], &(rev_a.clone() + "0")] {
        let refused = admin.get_policy(of(malformed)).await.unwrap_err();
        assert_eq!(refusal(&refused), (Code::InvalidArgument, "INVALID_REQUEST".to_owned()), "{malformed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_replaces_the_policy_and_its_file_whole() {
    let (setup, file) = with_a();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let daemon = setup.start();
    let mut admin = daemon.admin().await;
    let (rev_a, rev_b) = (revision_of(&mut admin, &a()).await, revision_of(&mut admin, &b()).await);
    let load = Load::start(&daemon, &rev_a, &rev_b).await;
    let stop = Arc::new(AtomicBool::new(false));
    let reading = std::thread::spawn({
        let (stop, file) = (Arc::clone(&stop), file.clone());
        move || {
            while !stop.load(Ordering::Acquire) {
                let text = fs::read_to_string(&file).expect("the file is always there");
                assert!(text == a() || text == b(), "half of a policy on disk");
            }
        }
    });
    let (mut agent, mut is, mut other) = (daemon.agent().await, (rev_a.clone(), a()), (rev_b.clone(), b()));
    for _ in 0..10 {
        let update = update(other.1.clone(), &is.0);
        let policy = admin.update_policy(update).await.unwrap().into_inner().policy.unwrap();
        assert_eq!((&policy.revision, &policy.layers[0].yaml), (&other.0, &other.1));
        std::mem::swap(&mut is, &mut other);
        assert_eq!(fs::read_to_string(&file).unwrap(), is.1);
        let evaluate = v1::EvaluateRequest {
            items: vec![v1::EvaluateItem { actor: None, action: propose("x", "").action }],
            ..v1::EvaluateRequest::default()
        };
        let evaluated = agent.evaluate(evaluate).await.unwrap().into_inner();
        assert_eq!(evaluated.policy_revision, is.0, "in force when the admin is told so");
    }
    stop.store(true, Ordering::Release);
    reading.join().unwrap();
    load.stop(&daemon, &rev_a, &rev_b).await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    let left: Vec<_> = fs::read_dir(daemon.home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing is left beside the policy and the data: {left:?}");
    let log = whole_log(&daemon).await;
    let by: Vec<_> =
        log.iter().filter(|record| record.text("/kind") == "policy_loaded").map(|r| r.text("/by")).collect();
    assert_eq!(by.len(), 11, "each change once: the daemon's own writing is no second one");
    assert!(by[0].is_empty() && by[1..].iter().all(|by| by.starts_with("local:")), "{by:?}");
}

#[tokio::test]
async fn an_update_that_is_not_valid_or_not_up_to_date_changes_nothing() {
    let (setup, file) = with_a();
    let daemon = setup.start();
    let mut admin = daemon.admin().await;
    let (rev_a, rev_b) = (revision_of(&mut admin, &a()).await, revision_of(&mut admin, &b()).await);
    let bad = "rules:\n  - {name: x, aproval: block}\n  - {name: x, risk_level: huge}\n";
    let refused = admin.update_policy(update(bad, "")).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::InvalidArgument, "POLICY_INVALID".to_owned()));
    assert_eq!(fields(&refused), ["layers.layers[0].yaml"; 3]);
    let found = findings(&refused).findings;
    let wrong: Vec<_> = found.iter().map(|it| (it.path.as_str(), it.code.as_str(), it.severity())).collect();
    for (path, code) in
        [("rules[0].aproval", "UNKNOWN_KEY"), ("rules[1].risk_level", "UNKNOWN_WORD"), ("rules[1]", "DUPLICATE_RULE")]
    {
        assert!(wrong.contains(&(path, code, v1::Severity::Error)), "everything that is wrong: {wrong:?}");
    }
    assert_eq!(refusal(&admin.update_policy(update("", "")).await.unwrap_err()).1, "POLICY_INVALID");

    for stale in [rev_b.as_str(), "nonsense"] {
        let refused = admin.update_policy(update(b(), stale)).await.unwrap_err();
        assert_eq!(refusal(&refused), (Code::Aborted, "REVISION_MISMATCH".to_owned()));
        assert!(refused.message().contains(&rev_a), "{}", refused.message());
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), a());
    in_force(&admin, &rev_a).await;

    // Of two who both start from A one is first.
    let (mut one, mut two) = (admin.clone(), daemon.admin().await);
    let (first, second) = tokio::join!(
        one.update_policy(update(b(), &rev_a)),
        two.update_policy(update("defaults: {approval: block}", &rev_a))
    );
    let refused = match (first, second) {
        (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
        both => panic!("one is first: {both:?}"),
    };
    assert_eq!(refusal(&refused).1, "REVISION_MISMATCH");
}

#[tokio::test]
async fn a_policy_that_is_not_one_writable_file_is_not_updated() {
    async fn refused(daemon: &Daemon, why: &str) {
        let update = update(b(), "");
        let refused = daemon.admin().await.update_policy(update).await.unwrap_err();
        assert_eq!(refusal(&refused), (Code::FailedPrecondition, "POLICY_NOT_WRITABLE".to_owned()));
        assert!(refused.message().contains(why), "{}", refused.message());
    }
    refused(&Setup::new().start(), "built-in").await;

    let (setup, file) = with_a();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let daemon = setup.start();
    refused(&daemon, "read-only").await;
    assert_eq!(fs::read_to_string(&file).unwrap(), a());

    let setup = Setup::new();
    let volume = setup.home().join("volume");
    fs::create_dir(&volume).unwrap();
    config_map(&volume, &a(), 0);
    let file = volume.join("policy.yaml");
    let daemon = setup.args(&[file.to_str().unwrap()]).start();
    refused(&daemon, "symbolic link").await;
    assert!(file.is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), a());
}
