//! The identities file (`aegis serve --auth FILE`): whom the daemon knows, and what they may do.
//!
//! It is read whole, with everything that it names, into one generation of [`Identities`]: either all of it is valid and
//! comes into force at once, or the last good one stays. `tests/data/identities.yaml` shows every key with its meaning.
//!
//! Of the entries that fit a caller, each adds its roles; the first that names a `subject` or an `actor` gives it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de};

use super::Authenticator;
use super::peers::{PeerEntry, Peers};
use super::tokens::{FileToken, FileTokens};
use crate::domain::{Digest, How, Identity, Role, Roles, Timestamp};
use crate::policy::{Diagnostic, LoadErrors, Step, StrictYaml};
use crate::watcher::{fingerprint, read_bounded};

/// The largest file that is read here, keys and certificates included.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// How many entries a list may have.
const MAX_ENTRIES: usize = 10_000;
/// How long a name may be, in characters.
const MAX_NAME: usize = 256;

/// Where identities come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentitySource {
    /// The identities file.
    pub file: Option<PathBuf>,
}

/// Whom the daemon knows: one generation.
#[derive(Default)]
pub struct Identities {
    /// In the order in which they are asked.
    pub(super) authenticators: Vec<Box<dyn Authenticator>>,
    /// Whether users of this machine are told apart, so that a socket need not be open to everybody.
    pub names_users: bool,
}

impl Identities {
    /// Whether these can take the place of those: what listeners were bound with needs a restart to change.
    pub(super) fn may_follow(&self, earlier: &Self) -> Result<(), LoadErrors> {
        if self.names_users && !earlier.names_users {
            let message = "names users now, and sockets were opened to everybody: restart the daemon";
            return Err(LoadErrors::new(vec![Diagnostic::for_file("unix", message)]));
        }
        Ok(())
    }
}

/// What a load came to, and what it looked at.
pub struct Loaded {
    /// Every file that was read, or should have been.
    pub files: Vec<PathBuf>,
    /// The SHA-256 of what they held.
    pub revision: Digest,
    /// The generation, or why there is none.
    pub identities: Result<Identities, LoadErrors>,
}

impl IdentitySource {
    /// Whether there is anything to read.
    pub fn is_empty(&self) -> bool {
        self.file.is_none()
    }

    /// Reads everything.
    pub fn load(&self) -> Loaded {
        let mut files = Vec::new();
        let identities = self.read(&mut files);
        Loaded { revision: fingerprint(&files, MAX_BYTES), files, identities }
    }

    fn read(&self, files: &mut Vec<PathBuf>) -> Result<Identities, LoadErrors> {
        let Some(path) = &self.file else { return Ok(Identities::default()) };
        files.push(path.clone());
        let name = path.display().to_string();
        let text = read_text(path).map_err(|why| LoadErrors::new(vec![Diagnostic::for_file(&name, why)]))?;
        let yaml = StrictYaml::parse(&name, &text)?;
        let file: File = yaml.read()?;
        let mut checked = Checked { yaml: &yaml, findings: Vec::new() };
        let identities = file.build(&mut checked);
        if checked.findings.is_empty() { Ok(identities) } else { Err(LoadErrors::new(checked.findings)) }
    }
}

/// A text file of bounded length.
fn read_text(path: &Path) -> Result<String, String> {
    let bytes = read_bounded(path, MAX_BYTES).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("is longer than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

/// What an entry gives to those whom it fits.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    roles: Roles,
    subject: Option<String>,
    actor: Option<String>,
}

impl Grant {
    /// An identity with everything that these grants give it.
    pub(super) fn apply<'g>(mut identity: Identity, grants: impl IntoIterator<Item = &'g Self>) -> Identity {
        let mut subject = None;
        for grant in grants {
            identity.roles = identity.roles.with(grant.roles);
            subject = subject.or(grant.subject.as_deref());
            if identity.actor.is_none() {
                identity.actor = grant.actor.as_deref().map(Into::into);
            }
        }
        if let Some(subject) = subject {
            identity.subject = subject.into();
        }
        identity
    }
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    version: Version,
    unix: Vec<UnixUser>,
    tokens: Vec<HashedToken>,
}

/// `"1"` or `1`.
#[derive(Debug, Default)]
struct Version;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnixUser {
    uid: Option<u32>,
    gid: Option<u32>,
    subject: Option<String>,
    roles: Vec<Role>,
    actor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HashedToken {
    name: String,
    sha256: String,
    roles: Vec<Role>,
    actor: Option<String>,
    expires_at: Option<Timestamp>,
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) if text == "1" => Ok(Self),
            serde_json::Value::Number(number) if number.as_u64() == Some(1) => Ok(Self),
            _ => Err(de::Error::custom("unknown version: this is a file of version \"1\" (the key may be left out)")),
        }
    }
}

/// Gathers what is wrong with a file that fits its shape.
struct Checked<'y> {
    yaml: &'y StrictYaml,
    findings: Vec<Diagnostic>,
}

/// A place in a list of entries.
type Place<'s> = (&'s str, usize);

impl Checked<'_> {
    fn wrong(&mut self, (list, item): Place<'_>, key: &str, message: impl Into<String>) {
        let steps = [Step::Key(list), Step::Item(item), Step::Key(key)];
        let steps = if key.is_empty() { &steps[..2] } else { &steps[..] };
        self.findings.push(self.yaml.finding(steps, message.into()));
    }

    /// No list is longer than this.
    fn bounded<T>(&mut self, list: &str, items: Vec<T>) -> Vec<T> {
        if items.len() > MAX_ENTRIES {
            let message = format!("has {} entries; at most {MAX_ENTRIES}", items.len());
            self.findings.push(self.yaml.finding(&[Step::Key(list)], message));
            return Vec::new();
        }
        items
    }

    fn grant(&mut self, at: Place<'_>, roles: &[Role], subject: Option<String>, actor: Option<String>) -> Grant {
        if roles.is_empty() {
            self.wrong(at, "roles", "must name at least one of agent, reviewer, auditor, admin");
        }
        for (key, name) in [("subject", &subject), ("actor", &actor)] {
            if let Some(name) = name {
                self.name(at, key, name);
            }
        }
        if subject.as_deref() == Some(Identity::ANONYMOUS) {
            self.wrong(at, "subject", "`anonymous` is what the record calls those whom nobody knows: choose another");
        }
        Grant { roles: Roles::of(roles), subject, actor }
    }

    fn name(&mut self, at: Place<'_>, key: &str, name: &str) {
        if let Err(why) = check_name(name) {
            self.wrong(at, key, why);
        }
    }
}

/// Whether this can be the name of somebody: what the record shows, and people compare.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.trim() != name {
        return Err("must not be empty, nor begin or end with a space".to_owned());
    }
    if name.chars().count() > MAX_NAME {
        return Err(format!("is longer than {MAX_NAME} characters"));
    }
    if crate::domain::visible(name) != name {
        return Err("holds characters that cannot be seen".to_owned());
    }
    Ok(())
}

impl File {
    fn build(self, checked: &mut Checked<'_>) -> Identities {
        let Self { version: Version, unix, tokens } = self;
        let users: Vec<_> = checked.bounded("unix", unix);
        let users: Vec<_> = users.into_iter().enumerate().map(|(i, user)| user.build(checked, i)).collect();
        let tokens = build_tokens(checked, tokens);
        let names_users = !users.is_empty();
        let authenticators: Vec<Box<dyn Authenticator>> = vec![Box::new(tokens), Box::new(Peers(users))];
        Identities { authenticators, names_users }
    }
}

impl UnixUser {
    fn build(self, checked: &mut Checked<'_>, i: usize) -> PeerEntry {
        let at = ("unix", i);
        let Self { uid, gid, subject, roles, actor } = self;
        if uid.is_none() && gid.is_none() {
            checked.wrong(at, "", "must have `uid`, `gid` or both: without either it would fit everybody");
        }
        PeerEntry { uid, gid, grant: checked.grant(at, &roles, subject, actor) }
    }
}

fn build_tokens(checked: &mut Checked<'_>, tokens: Vec<HashedToken>) -> FileTokens {
    let mut known = HashMap::new();
    for (i, token) in checked.bounded("tokens", tokens).into_iter().enumerate() {
        let at = ("tokens", i);
        let HashedToken { name, sha256, roles, actor, expires_at } = token;
        checked.name(at, "name", &name);
        let grant = checked.grant(at, &roles, None, actor);
        let Some(hash) = Digest::from_hex(&sha256) else {
            checked.wrong(
                at,
                "sha256",
                "must be the SHA-256 of the token, 64 hex digits: `printf %s \"$TOKEN\" | sha256sum`",
            );
            continue;
        };
        let nobody_yet = Identity { expires_at, ..Identity::new(format!("token:{name}"), Roles::NONE, How::Token) };
        let token = FileToken { hash, identity: Grant::apply(nobody_yet, [&grant]), expires_at };
        if known.insert(hash, token).is_some() {
            checked.wrong(at, "sha256", "is that of another token of this file: each is one holder's");
        }
    }
    FileTokens(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(yaml: &str) -> Result<Identities, LoadErrors> {
        let tmp = tempfile::tempdir().unwrap();
        let file = tmp.path().join("auth.yaml");
        std::fs::write(&file, yaml).unwrap();
        let loaded = IdentitySource { file: Some(file.clone()) }.load();
        assert_eq!(loaded.files, [file]);
        loaded.identities
    }

    #[test]
    fn everything_that_is_wrong_is_said_with_its_place() {
        for (yaml, says) in [
            ("unix: [{uid: 7, roles: [reviewr]}]", "auth.yaml:1:25: unix[0].roles[0]: unknown variant `reviewr`"),
            ("unix: [{roles: [agent]}]", ":1:8: unix[0]: must have `uid`, `gid` or both"),
            ("unix: [{uid: 7, roles: []}]", "unix[0].roles: must name at least one"),
            ("unix: [{uid: -7, roles: [agent]}]", "unix[0].uid: invalid value"),
            ("unix: [{uid: 7, roles: [agent], subject: anonymous}]", "unix[0].subject: `anonymous`"),
            ("unix: [{uid: 7, roles: [agent], actor: ''}]", "unix[0].actor: must not be empty"),
            ("tokens: [{name: ci, sha256: abc, roles: [agent]}]", "tokens[0].sha256: must be the SHA-256"),
            ("tokens:\n  - {name: ci, roles: [agent]}", ":2:5: tokens[0]: missing field `sha256`"),
            ("version: 2", "version: unknown version"),
            ("unixx: []", "unknown field `unixx`"),
            ("- 1", "auth.yaml:1:1: must be a mapping, not a list"),
        ] {
            let said = load(yaml).err().map(|errors| errors.to_string()).unwrap_or_default();
            assert!(said.contains(says), "{yaml}: {said}");
        }
        let two = load("unix: [{uid: 7, roles: []}, {roles: [agent]}]").err().unwrap();
        assert_eq!(two.diagnostics().len(), 2, "{two}");
    }

    #[test]
    fn the_example_that_teaches_is_valid() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/identities.yaml");
        let loaded = IdentitySource { file: Some(file) }.load();
        assert!(loaded.identities.map_err(|errors| panic!("{errors}")).is_ok_and(|known| known.names_users));
    }

    #[test]
    fn entries_add_their_roles_and_the_first_name_counts() {
        let grant = |roles: &[Role], subject: Option<&str>, actor: Option<&str>| Grant {
            roles: Roles::of(roles),
            subject: subject.map(Into::into),
            actor: actor.map(Into::into),
        };
        let grants = [
            grant(&[Role::Agent], None, Some("agent-7")),
            grant(&[Role::Auditor], Some("ada"), Some("agent-8")),
            grant(&[Role::Auditor], Some("bob"), None),
        ];
        let identity = Grant::apply(Identity::new("unix:7", Roles::NONE, How::UnixPeer), &grants);
        assert_eq!(identity.roles, Roles::of(&[Role::Agent, Role::Auditor]));
        assert_eq!((&*identity.subject, identity.actor.as_deref()), ("ada", Some("agent-7")));
    }
}
