//! The identities file (`aegis serve --auth FILE`): the callers that the daemon knows, and their roles.
//!
//! The daemon reads the file and every file that it names into one generation of [`Identities`]. Either all of it is
//! valid and comes into force at once, or the previous generation stays. `tests/data/identities.yaml` explains every
//! key.
//!
//! Each entry that matches a caller adds its roles. The first matching entry with a `subject` or an `actor` sets that.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::authenticator::Authenticator;
use super::certificates::{CertificateEntry, Certificates, NamePattern};
use super::grant::Grant;
use super::input::{MAX_BYTES, check_name, read_text};
use super::jwks::{Algorithm, Keys};
use super::jwt::{Issuer, IssuerKeys, Jwt, JwtEntry};
use super::peers::{PeerEntry, Peers};
use super::remote_keys::{Fetched, KeyAddress};
use super::tls::{ClientCertificates, Tls, TlsFiles};
use super::tokens::{FileToken, FileTokens};
use crate::domain::{Digest, How, Identity, Role, Roles, Timestamp};
use crate::outbound::fetch::Url;
use crate::policy::{Diagnostic, Glob, LoadErrors, Step, StrictYaml};
use crate::watcher::fingerprint;

/// How often files that change all the time are read before the last reading counts.
const MAX_READS: usize = 5;
/// The most entries of a list.
const MAX_ENTRIES: usize = 10_000;
/// The largest `leeway_seconds` for differences between clocks.
const MAX_LEEWAY: u64 = 300;
/// The default and the largest `refresh_seconds` of a `jwks_url`.
const REFRESH_SECONDS: u64 = 300;
const MAX_REFRESH_SECONDS: u64 = 86_400;

/// The source of identities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentitySource {
    /// The identities file.
    pub file: Option<PathBuf>,
    /// The TLS files from the command line, if the identities file has none.
    pub tls: Option<TlsFiles>,
}

/// One generation of identities.
#[derive(Default)]
pub struct Identities {
    /// The authenticators, in the order in which they are tried.
    pub(super) authenticators: Vec<Box<dyn Authenticator>>,
    /// Whether the file names users of this machine. Then sockets need not be open to every user.
    pub names_users: bool,
    /// The TLS configuration of TCP listeners, if they use TLS.
    pub tls: Option<Tls>,
}

impl Identities {
    /// Whether this generation can replace that one. Settings of open listeners need a restart.
    pub(super) fn may_follow(&self, earlier: &Self) -> Result<(), LoadErrors> {
        if self.tls.is_some() != earlier.tls.is_some() {
            let message = "TLS cannot be switched on or off while listeners are open: restart the daemon";
            return Err(LoadErrors::new(vec![Diagnostic::for_file("tls", message)]));
        }
        if self.names_users && !earlier.names_users {
            let message = "names users now, but the sockets are open to every user: restart the daemon";
            return Err(LoadErrors::new(vec![Diagnostic::for_file("unix", message)]));
        }
        Ok(())
    }
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

/// The loader of a generation.
#[derive(Default)]
struct Looked {
    files: Vec<PathBuf>,
    addresses: Vec<KeyAddress>,
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

/// The syntax of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    version: Version,
    tls: Option<TlsSection>,
    unix: Vec<UnixUser>,
    certificates: Vec<NamedCertificate>,
    jwt: Vec<TrustedIssuer>,
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
struct TlsSection {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    #[serde(default)]
    clients: ClientCertificates,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedCertificate {
    spiffe_id: Option<String>,
    common_name: Option<String>,
    subject: Option<String>,
    roles: Vec<Role>,
    actor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustedIssuer {
    name: String,
    issuer: String,
    audience: String,
    jwks: Option<PathBuf>,
    jwks_url: Option<String>,
    jwks_ca: Option<PathBuf>,
    refresh_seconds: Option<u64>,
    #[serde(default = "every_algorithm")]
    algorithms: Vec<Algorithm>,
    #[serde(default = "half_a_minute")]
    leeway_seconds: u64,
    #[serde(default = "groups")]
    groups_claim: String,
    grants: Vec<JwtGrant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtGrant {
    subject: Option<String>,
    group: Option<String>,
    roles: Vec<Role>,
    actor: Option<String>,
}

fn every_algorithm() -> Vec<Algorithm> {
    Algorithm::ALL.to_vec()
}

const fn half_a_minute() -> u64 {
    30
}

fn groups() -> String {
    "groups".to_owned()
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
            _ => Err(de::Error::custom("unknown version: this daemon reads version \"1\" (the key may be left out)")),
        }
    }
}

/// Collects the errors of a file with valid syntax.
struct Checked<'y> {
    yaml: &'y StrictYaml,
    findings: Vec<Diagnostic>,
    looked: &'y mut Looked,
    fetched: &'y Fetched,
}

/// The position of an entry in its list.
type Place<'s> = (&'s str, usize);

impl Checked<'_> {
    fn wrong(&mut self, (list, item): Place<'_>, key: &str, message: impl Into<String>) {
        let steps = [Step::Key(list), Step::Item(item), Step::Key(key)];
        let steps = if key.is_empty() { &steps[..2] } else { &steps[..] };
        self.findings.push(self.yaml.finding(steps, message.into()));
    }

    /// Checks the length of a list.
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
            self.wrong(
                at,
                "subject",
                "`anonymous` is the name of unauthenticated callers on the record: choose another",
            );
        }
        let given = subject.as_deref().unwrap_or_default();
        if let Some(prefix) = Identity::SUBJECT_PREFIXES.into_iter().find(|prefix| given.starts_with(prefix)) {
            let message = format!(
                "begins with `{prefix}`, as the names do that a credential gives by itself: choose a name without it, \
                 so that it cannot be somebody else's"
            );
            self.wrong(at, "subject", message);
        }
        Grant { roles: Roles::of(roles), subject, actor }
    }

    fn name(&mut self, at: Place<'_>, key: &str, name: &str) {
        if let Err(why) = check_name(name) {
            self.wrong(at, key, why);
        }
    }
}

impl File {
    fn build(self, beside: &Path, tls: Option<Tls>, checked: &mut Checked<'_>) -> Identities {
        let Self { version: Version, tls: _, unix, certificates, jwt, tokens } = self;
        let issuers = checked.bounded("jwt", jwt);
        let issuers = build_issuers(issuers, beside, checked);
        let certificates = checked.bounded("certificates", certificates);
        let entries = certificates.into_iter().enumerate().filter_map(|(i, named)| named.build(checked, i)).collect();
        let certificates = Certificates { entries, authorities: tls.as_ref().and_then(|tls| tls.clients.clone()) };
        let users: Vec<_> = checked.bounded("unix", unix);
        let users: Vec<_> = users.into_iter().enumerate().map(|(i, user)| user.build(checked, i)).collect();
        let tokens = build_tokens(checked, tokens);
        let jwt = Jwt(issuers);
        let names_users = !users.is_empty();
        let authenticators: Vec<Box<dyn Authenticator>> =
            vec![Box::new(tokens), Box::new(jwt), Box::new(certificates), Box::new(Peers(users))];
        Identities { authenticators, names_users, tls }
    }
}

impl TlsSection {
    /// A relative path is relative to the directory of the file.
    fn files(self, beside: &Path) -> TlsFiles {
        let Self { certificate, key, client_ca, clients } = self;
        let at = |path: PathBuf| beside.join(path);
        TlsFiles { certificate: at(certificate), key: at(key), client_ca: client_ca.map(at), clients }
    }
}

impl NamedCertificate {
    fn build(self, checked: &mut Checked<'_>, i: usize) -> Option<CertificateEntry> {
        let at = ("certificates", i);
        let Self { spiffe_id, common_name, subject, roles, actor } = self;
        let grant = checked.grant(at, &roles, subject, actor);
        let names = match (spiffe_id, common_name) {
            (Some(pattern), None) if pattern.starts_with("spiffe://") => NamePattern::Spiffe(Glob::new(&pattern)),
            (Some(_), None) => {
                checked.wrong(at, "spiffe_id", "must begin with `spiffe://` and the trust domain");
                return None;
            }
            (None, Some(pattern)) => NamePattern::Common(Glob::new(&pattern)),
            _ => {
                checked.wrong(at, "", "must have either `spiffe_id` or `common_name`");
                return None;
            }
        };
        Some(CertificateEntry { names, grant })
    }
}

fn build_issuers(issuers: Vec<TrustedIssuer>, beside: &Path, checked: &mut Checked<'_>) -> Vec<Issuer> {
    let mut built: Vec<Issuer> = Vec::with_capacity(issuers.len());
    for (i, trusted) in issuers.into_iter().enumerate() {
        let Some(issuer) = trusted.build(beside, checked, i) else { continue };
        if built.iter().any(|other| other.iss == issuer.iss || other.name == issuer.name) {
            checked.wrong(("jwt", i), "issuer", "another entry has the same issuer or name: each may occur once");
        }
        built.push(issuer);
    }
    built
}

impl TrustedIssuer {
    fn build(self, beside: &Path, checked: &mut Checked<'_>, i: usize) -> Option<Issuer> {
        let at = ("jwt", i);
        let keys = self.keys(beside, checked, i);
        let Self { name, issuer, audience, algorithms, leeway_seconds, groups_claim, grants, .. } = self;
        for (key, text) in
            [("name", &name), ("issuer", &issuer), ("audience", &audience), ("groups_claim", &groups_claim)]
        {
            checked.name(at, key, text);
        }
        if name.contains(':') {
            let message = "has a `:`, which ends the name in `jwt:NAME:SUBJECT` on the record: choose a name without \
                           it, so that no subject of one issuer reads like one of another";
            checked.wrong(at, "name", message);
        }
        if algorithms.is_empty() {
            checked.wrong(at, "algorithms", "must name at least one of RS256, ES256, EdDSA");
        }
        if leeway_seconds > MAX_LEEWAY {
            checked.wrong(
                at,
                "leeway_seconds",
                format!("must be at most {MAX_LEEWAY}: synchronize the clocks instead"),
            );
        }
        let mut entries = Vec::with_capacity(grants.len());
        for grant in checked.bounded("jwt", grants) {
            let JwtGrant { subject, group, roles, actor } = grant;
            if subject.is_none() && group.is_none() {
                let message = "each must have `subject`, `group` or both: without either it would match every caller";
                checked.wrong(at, "grants", message);
            }
            let grant = checked.grant(at, &roles, None, actor);
            let glob = |text: Option<String>| text.map(|text| Glob::new(&text));
            entries.push(JwtEntry { subject: glob(subject), group: glob(group), grant });
        }
        let keys = keys?;
        let leeway = Duration::from_secs(leeway_seconds.min(MAX_LEEWAY));
        Some(Issuer { name, iss: issuer, audience, algorithms, leeway, groups_claim, keys, grants: entries })
    }

    /// The keys of an issuer, from the file or the address in the entry.
    fn keys(&self, beside: &Path, checked: &mut Checked<'_>, i: usize) -> Option<IssuerKeys> {
        let at = ("jwt", i);
        let (every, ca) = (self.refresh_seconds, &self.jwks_ca);
        match (&self.jwks, &self.jwks_url) {
            (Some(path), None) => {
                if every.is_some() || ca.is_some() {
                    let key = if every.is_some() { "refresh_seconds" } else { "jwks_ca" };
                    checked.wrong(at, key, "needs `jwks_url`: files are watched and need no setting");
                }
                let path = beside.join(path);
                checked.looked.files.push(path.clone());
                match read_text(&path).and_then(|text| Keys::read(&text)) {
                    Ok(keys) => Some(IssuerKeys::of_file(keys)),
                    Err(why) => {
                        checked.findings.push(Diagnostic::for_file(path.display().to_string(), why));
                        None
                    }
                }
            }
            (None, Some(url)) => {
                let ca = ca.as_ref().map(|path| beside.join(path));
                checked.looked.files.extend(ca.clone());
                let every = every.unwrap_or(REFRESH_SECONDS);
                if every == 0 || every > MAX_REFRESH_SECONDS {
                    checked.wrong(at, "refresh_seconds", format!("must be between 1 and {MAX_REFRESH_SECONDS}"));
                }
                let url = Url::parse(url).map_err(|error| checked.wrong(at, "jwks_url", error.to_string())).ok()?;
                let address = KeyAddress { url, ca, every: Duration::from_secs(every.clamp(1, MAX_REFRESH_SECONDS)) };
                if !checked.looked.addresses.contains(&address) {
                    checked.looked.addresses.push(address.clone());
                }
                match checked.fetched.get(&address) {
                    Some(Ok(fetched)) => Some(IssuerKeys::of_address(fetched)),
                    Some(Err(why)) => {
                        checked.wrong(at, "jwks_url", format!("the keys cannot be fetched: {why}"));
                        None
                    }
                    None => {
                        checked.wrong(at, "jwks_url", "the keys have not been fetched yet");
                        None
                    }
                }
            }
            _ => {
                checked.wrong(at, "", "must have either `jwks` (a file) or `jwks_url`");
                None
            }
        }
    }
}

impl UnixUser {
    fn build(self, checked: &mut Checked<'_>, i: usize) -> PeerEntry {
        let at = ("unix", i);
        let Self { uid, gid, subject, roles, actor } = self;
        if uid.is_none() && gid.is_none() {
            checked.wrong(at, "", "must have `uid`, `gid` or both: without either it would match every user");
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
            checked.wrong(at, "sha256", "is the hash of another token in this file: each token has one holder");
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
