//! Builds a generation from what the identities file says.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::checked::Checked;
use super::generation::Identities;
use super::issuers::build_issuers;
use super::syntax::{File, HashedToken, NamedCertificate, TlsSection, UnixUser, Version};
use crate::auth::authenticator::Authenticator;
use crate::auth::certificates::{CertificateEntry, Certificates, NamePattern};
use crate::auth::grant::Grant;
use crate::auth::jwt::Jwt;
use crate::auth::peers::{PeerEntry, Peers};
use crate::auth::tls::{Tls, TlsFiles};
use crate::auth::tokens::{FileToken, FileTokens};
use crate::domain::{Digest, How, Identity, Roles};
use crate::policy::Glob;

impl File {
    pub(super) fn build(self, beside: &Path, tls: Option<Tls>, checked: &mut Checked<'_>) -> Identities {
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
    pub(super) fn files(self, beside: &Path) -> TlsFiles {
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
