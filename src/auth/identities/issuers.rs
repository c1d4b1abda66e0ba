//! The trusted issuers of the identities file, with their keys.

use std::path::Path;
use std::time::Duration;

use super::checked::Checked;
use super::syntax::{JwtGrant, TrustedIssuer};
use crate::auth::input::read_text;
use crate::auth::jwks::Keys;
use crate::auth::jwt::{Issuer, IssuerKeys, JwtEntry};
use crate::auth::remote_keys::KeyAddress;
use crate::outbound::fetch::Url;
use crate::policy::{Diagnostic, Glob};

/// The largest `leeway_seconds` for differences between clocks.
const MAX_LEEWAY: u64 = 300;
/// The default and the largest `refresh_seconds` of a `jwks_url`.
const REFRESH_SECONDS: u64 = 300;
const MAX_REFRESH_SECONDS: u64 = 86_400;

pub(super) fn build_issuers(issuers: Vec<TrustedIssuer>, beside: &Path, checked: &mut Checked<'_>) -> Vec<Issuer> {
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
