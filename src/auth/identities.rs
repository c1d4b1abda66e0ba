//! The identities file (`aegis serve --auth FILE`): the callers that the daemon knows, and their roles.
//!
//! The daemon reads the file and every file that it names into one generation of [`Identities`]. Either all of it is
//! valid and comes into force at once, or the previous generation stays. `tests/data/identities.yaml` explains every
//! key.
//!
//! Each entry that matches a caller adds its roles. The first matching entry with a `subject` or an `actor` sets that.

mod build;
mod checked;
mod generation;
mod issuers;
mod syntax;

use std::path::{Path, PathBuf};

use self::checked::{Checked, Looked};
pub use self::generation::Identities;
use self::syntax::File;
use super::authenticator::Authenticator;
use super::certificates::Certificates;
use super::input::{MAX_BYTES, read_text};
use super::remote_keys::{Fetched, KeyAddress};
use super::tls::{ClientCertificates, Tls, TlsFiles};
use crate::domain::{Digest, Timestamp};
use crate::policy::{Diagnostic, LoadErrors, Step, StrictYaml};
use crate::watcher::fingerprint;

/// How often files that change all the time are read before the last reading counts.
const MAX_READS: usize = 5;

/// The source of identities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentitySource {
    /// The identities file.
    pub file: Option<PathBuf>,
    /// The TLS files from the command line, if the identities file has none.
    pub tls: Option<TlsFiles>,
}

/// The result of a load, and what it read.
pub(super) struct Loaded {
    /// Every file that was read or could not be read.
    pub files: Vec<PathBuf>,
    /// Every address of keys.
    pub(super) addresses: Vec<KeyAddress>,
    /// The SHA-256 of the whole content.
    pub revision: Digest,
    /// The generation, or the reasons why it is not valid.
    pub identities: Result<Identities, LoadErrors>,
}

impl Loaded {
    /// The result of a load without any file.
    pub(super) fn nothing() -> Self {
        let identities = Ok(Identities::default());
        Self { files: Vec::new(), addresses: Vec::new(), revision: fingerprint(&[], MAX_BYTES), identities }
    }
}

impl IdentitySource {
    /// Whether anything is configured.
    pub fn is_empty(&self) -> bool {
        self.file.is_none() && self.tls.is_none()
    }

    /// Loads everything at this time, with the keys that were fetched.
    ///
    /// A file may be replaced while it is read. So this reads until the files had the same content before and after:
    /// the revision is that of what was read.
    pub(super) fn load(&self, fetched: &Fetched, now: Timestamp) -> Loaded {
        let mut loaded = self.load_once(fetched, now);
        for _ in 0..MAX_READS {
            let before = std::mem::replace(&mut loaded, self.load_once(fetched, now)).revision;
            if loaded.revision == before {
                break;
            }
        }
        loaded
    }

    fn load_once(&self, fetched: &Fetched, now: Timestamp) -> Loaded {
        let mut looked = Looked::default();
        let identities = self.read(&mut looked, fetched, now);
        let Looked { files, addresses } = looked;
        let mut revision = fingerprint(&files, MAX_BYTES);
        for address in &addresses {
            let of_keys = fetched.get(address).and_then(|keys| keys.as_ref().ok()).map(|keys| keys.digest);
            revision = Digest::of(&[revision.0, of_keys.unwrap_or(Digest([0; 32])).0].concat());
        }
        Loaded { files, addresses, revision, identities }
    }

    fn read(&self, looked: &mut Looked, fetched: &Fetched, now: Timestamp) -> Result<Identities, LoadErrors> {
        let one = |finding| LoadErrors::new(vec![finding]);
        looked.files.extend(self.tls.iter().flat_map(TlsFiles::paths).cloned());
        let tls = self.tls.as_ref().map(|files| files.load(now)).transpose();
        let Some(path) = &self.file else {
            // Without a file, a certificate gives no role, but it still identifies its holder.
            let tls = tls.map_err(one)?;
            let authorities = tls.as_ref().and_then(|tls| tls.clients.clone());
            let certificates = Certificates { entries: Vec::new(), authorities };
            let authenticators: Vec<Box<dyn Authenticator>> = vec![Box::new(certificates)];
            return Ok(Identities { authenticators, tls, ..Identities::default() });
        };
        looked.files.push(path.clone());
        let name = path.display().to_string();
        let text = read_text(path).map_err(|why| LoadErrors::new(vec![Diagnostic::for_file(&name, why)]))?;
        let beside = path.parent().unwrap_or(Path::new(""));
        Self::parse(&name, &text, beside, tls, looked, fetched, now)
    }

    /// Builds a generation from a file's text and the files that it names.
    fn parse(
        name: &str,
        text: &str,
        beside: &Path,
        tls: Result<Option<Tls>, Diagnostic>,
        looked: &mut Looked,
        fetched: &Fetched,
        now: Timestamp,
    ) -> Result<Identities, LoadErrors> {
        let yaml = StrictYaml::parse(name, text)?;
        let mut file: File = yaml.read()?;
        let mut checked = Checked { yaml: &yaml, findings: Vec::new(), looked, fetched };
        let tls = match (file.tls.take(), tls) {
            (None, tls) => tls,
            (Some(_), Ok(Some(_)) | Err(_)) => {
                let message = "TLS is configured here and on the command line: choose one".to_owned();
                Err(yaml.finding(&[Step::Key("tls")], message))
            }
            (Some(section), Ok(None)) => {
                let tls = section.files(beside);
                checked.looked.files.extend(tls.paths().cloned());
                if tls.client_ca.is_none() && tls.clients != ClientCertificates::Required {
                    let message = "needs `client_ca`".to_owned();
                    checked.findings.push(yaml.finding(&[Step::Key("tls"), Step::Key("clients")], message));
                }
                tls.load(now).map(Some)
            }
        };
        let tls = tls.unwrap_or_else(|finding| {
            checked.findings.push(finding);
            None
        });
        let identities = file.build(beside, tls, &mut checked);
        if checked.findings.is_empty() { Ok(identities) } else { Err(LoadErrors::new(checked.findings)) }
    }
}

/// Parses a text as an identities file in a directory that does not exist.
#[cfg(any(test, fuzzing))]
pub(super) fn parse_alone(text: &str) -> Result<Identities, LoadErrors> {
    let beside = Path::new("/nonexistent");
    IdentitySource::parse("fuzz.yaml", text, beside, Ok(None), &mut Looked::default(), &Fetched::new(), Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::grant::Grant;
    use crate::domain::{How, Identity, Role, Roles};

    fn load(yaml: &str) -> Result<Identities, LoadErrors> {
        let tmp = tempfile::tempdir().unwrap();
        let file = tmp.path().join("auth.yaml");
        std::fs::write(&file, yaml).unwrap();
        let source = IdentitySource { file: Some(file.clone()), tls: None };
        let loaded = source.load(&Fetched::new(), Timestamp::UNIX_EPOCH);
        assert_eq!(loaded.files[0], file);
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
            ("unix: [{uid: 7, roles: [agent], subject: 'token:ci'}]", "unix[0].subject: begins with `token:`"),
            ("unix: [{uid: 7, roles: [agent], subject: 'unix:8'}]", "unix[0].subject: begins with `unix:`"),
            ("certificates: [{common_name: a, roles: [agent], subject: 'jwt:idp:ada'}]", "begins with `jwt:`"),
            ("unix: [{uid: 7, roles: [agent], actor: ''}]", "unix[0].actor: must not be empty"),
            ("tokens: [{name: ci, sha256: abc, roles: [agent]}]", "tokens[0].sha256: must be the SHA-256"),
            ("tokens:\n  - {name: ci, roles: [agent]}", ":2:5: tokens[0]: missing field `sha256`"),
            ("certificates: [{roles: [agent]}]", "certificates[0]: must have either"),
            ("certificates: [{spiffe_id: '*', roles: [agent]}]", "certificates[0].spiffe_id: must begin with"),
            ("tls: {certificate: a.pem, key: a.key}", "a.pem: "),
            ("jwt: [{name: a, issuer: b, jwks: c, grants: []}]", "jwt[0]: missing field `audience`"),
            ("jwt: [{name: a, issuer: b, audience: '', jwks: c, grants: []}]", "jwt[0].audience: must not be empty"),
            (
                "jwt: [{name: 'a:b', issuer: b, audience: c, jwks: none.json, grants: []}]",
                ":1:8: jwt[0].name: has a `:`, which ends the name in `jwt:NAME:SUBJECT`",
            ),
            ("jwt: [{name: a, issuer: b, audience: c, jwks: none.json, grants: []}]", "none.json: No such file"),
            (
                "jwt: [{name: a, issuer: b, audience: c, jwks: d, algorithms: [HS256], grants: []}]",
                "unknown variant `HS256`, expected one of `RS256`, `ES256`, `EdDSA`",
            ),
            ("jwt: [{name: a, issuer: b, audience: c, grants: []}]", "jwt[0]: must have either `jwks` (a file) or"),
            ("jwt: [{name: a, issuer: b, audience: c, jwks: d, jwks_url: e, grants: []}]", "jwt[0]: must have either"),
            (
                "jwt: [{name: a, issuer: b, audience: c, jwks_url: 'http://idp.example/keys', grants: []}]",
                "jwt[0].jwks_url: `http://idp.example/keys` is plain http to another machine",
            ),
            (
                "jwt: [{name: a, issuer: b, audience: c, jwks_url: 'https://x/', refresh_seconds: 0, grants: []}]",
                "jwt[0].refresh_seconds: must be between 1 and 86400",
            ),
            ("jwt: [{name: a, issuer: b, audience: c, jwks: d, jwks_ca: e, grants: []}]", "jwks_ca: needs `jwks_url`"),
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
        let source = IdentitySource { file: Some(file), tls: None };
        let loaded = source.load(&Fetched::new(), Timestamp::UNIX_EPOCH);
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
