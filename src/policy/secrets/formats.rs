//! The formats of secrets that their issuers document, as far as they fit on one line.
//!
//! The list joins those of gitleaks and detect-secrets. It leaves out bare hexadecimal and base64, and formats that
//! need the name of a vendor beside them (those are found by name, [`names`](super::names)). No secret here contains a
//! blank, a quote or a shell operator, so no format can hide what a command does. The tests have an example and a
//! counter-example of each.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::opaque::{can_be_secret, looks_random};

/// One format. If its pattern has groups, the groups are the secret.
pub(super) struct Format {
    /// Its name, for the tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the tests read it: they have an example of each format"))]
    pub(super) name: &'static str,
    pattern: &'static str,
    check: Check,
}

/// What a match must be to count as a secret.
#[derive(Clone, Copy)]
enum Check {
    /// Anything: the pattern is enough.
    Nothing,
    /// Something that can be a secret.
    Secret,
    /// Something that a machine made, because ordinary words can match the pattern.
    Random,
}

const fn format(name: &'static str, pattern: &'static str) -> Format {
    Format { name, pattern, check: Check::Nothing }
}

const fn checked(name: &'static str, pattern: &'static str, check: Check) -> Format {
    Format { name, pattern, check }
}

/// The formats. `\b` is a boundary of ASCII words.
pub(super) const FORMATS: [Format; 84] = [
    // Used by many issuers.
    format("jwt", r"\bey[JI][A-Za-z0-9_-]{8,}\.ey[JI][A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,3}"),
    format("jwt-base64", r"\bZXlK[A-Za-z0-9+/_-]{40,}={0,2}"),
    format("bearer", r"(?i)\bbearer +([A-Za-z0-9._~+/-]{16,}=*)"),
    checked("token-scheme", r"(?i)\btoken +([A-Za-z0-9._~+/-]{16,}=*)", Check::Random),
    checked("basic-auth", r"(?i)\bbasic +([A-Za-z0-9+/]{8,}={0,2})", Check::Random),
    checked("url-password", r#"://[^\s/:@"'`]*:([^\s/"'`]+)@"#, Check::Secret),
    checked("curl-user", r#"\bcurl\b[^\n]*? (?:-u|--user)[ =]["']?[^\s:"'`]{1,100}:([^\s"'`]+)"#, Check::Secret),
    format("aegis", r"\baegis_[A-Za-z0-9_-]{43}"),
    // Clouds.
    format("aws-access-key", r"\b(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"),
    format("aws-bedrock", r"\bABSK[A-Za-z0-9+/]{100,269}={0,2}"),
    format("aws-bedrock-short", r"\bbedrock-api-key-[A-Za-z0-9+/=]{20,}"),
    format("alibaba", r"\bLTAI[A-Za-z0-9]{20}\b"),
    format("azure-ad", r"\b[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"),
    format("azure-storage", r"\bAccountKey=([A-Za-z0-9+/]{86}==)"),
    format("google-api", r"\bAIza[A-Za-z0-9_-]{35}"),
    format("google-oauth", r"\b(?:GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{20,})"),
    format("cloudflare-origin-ca", r"\bv1\.0-[a-f0-9]{24}-[a-f0-9]{146}"),
    format("digitalocean", r"\bdo[opr]_v1_[a-f0-9]{64}"),
    format("heroku", r"\bHRKU-AA[0-9A-Za-z_-]{58}"),
    format("flyio", r"\b(?:fo1_[A-Za-z0-9_-]{43}|fm[12][ar]?_[A-Za-z0-9+/]{100,}={0,3})"),
    format("scalingo", r"\btk-us-[A-Za-z0-9_-]{48}"),
    format("softlayer", r"\bapi\.softlayer\.com/soap/v3(?:\.1)?/([a-z0-9]{64})"),
    format("planetscale", r"\bpscale_(?:tkn|oauth|pw)_[A-Za-z0-9_=.-]{32,64}"),
    format("clickhouse", r"\b4b1d[A-Za-z0-9]{38}\b"),
    format("databricks", r"\bdapi[a-f0-9]{32}(?:-[0-9])?\b"),
    format("openshift", r"\bsha256~[A-Za-z0-9_-]{43}"),
    // Code, packages, builds.
    format("github", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
    format("gitlab", r"\bgl(?:pat|dt|ft|soat|rt|ptt|agent|oas|imt|ffct|cbt)-[A-Za-z0-9_.-]{20,300}"),
    format("gitlab-runner", r"\bGR1348941[A-Za-z0-9_-]{20,}"),
    format("gitlab-session", r"\b_gitlab_session=([0-9a-z]{32})"),
    format("npm", r"\bnpm_[A-Za-z0-9]{36}"),
    format("npmrc", r"/:_authToken=([A-Za-z0-9_-]{20,})"),
    format("pypi", r"\bpypi-Ag[EA][A-Za-z0-9_-]{50,}"),
    format("rubygems", r"\brubygems_[a-f0-9]{48}"),
    format("clojars", r"(?i)\bclojars_[a-z0-9]{60}"),
    format("artifactory", r"\b(?:AKCp[A-Za-z0-9]{10,}|cmVmd[A-Za-z0-9]{59})\b"),
    format("sourcegraph", r"\bsgp_(?:(?:[a-fA-F0-9]{16}|local)_)?[a-fA-F0-9]{40}"),
    format("terraform", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}"),
    format("pulumi", r"\bpul-[a-f0-9]{40}\b"),
    format("vault", r"\b(?:hv[bsr]\.[A-Za-z0-9_-]{24,300}|s\.[A-Za-z0-9]{24}\b)"),
    format("doppler", r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9.]{40,}"),
    format("octopus", r"\bAPI-[A-Z0-9]{26}\b"),
    format("harness", r"\b[ps]at\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}"),
    format("infracost", r"\bico-[A-Za-z0-9]{32}\b"),
    format("prefect", r"\bpnu_[A-Za-z0-9]{36}"),
    format("postman", r"\bPMAK-[A-Fa-f0-9]{24}-[A-Fa-f0-9]{34}"),
    format("readme", r"\brdme_[a-z0-9]{70}"),
    // Models.
    format("openai-anthropic", r"\bsk-[A-Za-z0-9_-]{20,}"),
    format("huggingface", r"\b(?:hf|api_org)_[A-Za-z]{34}\b"),
    format("perplexity", r"\bpplx-[A-Za-z0-9]{48}"),
    // Monitoring.
    format(
        "grafana",
        r"\b(?:eyJrIjoi[A-Za-z0-9]{70,400}={0,3}|glc_[A-Za-z0-9+/]{32,400}={0,3}|glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8})",
    ),
    format("sentry", r"\bsntry(?:u_[a-f0-9]{64}|s_eyJ[A-Za-z0-9+/=_]{60,})"),
    format("dynatrace", r"\bdt0c01\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}"),
    format("new-relic", r"\bNRA[KA]-[A-Z0-9]{27}\b"),
    // Messages and mail.
    format("slack", r"(?i)\b(?:xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,})"),
    format("slack-webhook", r"\bhooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/_]{20,})"),
    format("discord", r"\b[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}"),
    format("discord-webhook", r"\bdiscord(?:app)?\.com/api/webhooks/([0-9]{17,20}/[A-Za-z0-9_-]{60,})"),
    format("teams-webhook", r"\.webhook\.office\.com/webhookb2/([a-z0-9@/-]{40,}IncomingWebhook/[a-z0-9/-]{40,})"),
    format("telegram", r"\b[0-9]{8,10}:[A-Za-z0-9_-]{35}\b"),
    format("facebook", r"\b(?:EAA[MC][A-Za-z0-9]{100,}|[0-9]{15,16}%7C[A-Za-z0-9_-]{27,40})"),
    format("twilio", r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    format("sendgrid", r"\bSG\.[A-Za-z0-9_=-]{16,32}\.[A-Za-z0-9_=-]{16,64}"),
    format("sendinblue", r"\bxkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    format("mailchimp", r"\b[0-9a-f]{32}-us[0-9]{1,2}\b"),
    format("mailgun", r"\b(?:key-[a-f0-9]{32}|pubkey-[a-f0-9]{32})\b"),
    // Payment and trade.
    format("stripe", r"\b[rs]k_(?:live|test|prod)_[A-Za-z0-9]{10,}"),
    format("square", r"\b(?:EAAA[A-Za-z0-9_-]{22,60}|sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43})"),
    format("shopify", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    format("shippo", r"\bshippo_(?:live|test)_[a-fA-F0-9]{40}"),
    format("flutterwave", r"\bFLW(?:SECK|PUBK)(?:_TEST)?-[A-Za-z0-9]{12,32}(?:-X)?\b"),
    format("easypost", r"\bEZ[AT]K[A-Za-z0-9]{54}\b"),
    format("duffel", r"\bduffel_(?:test|live)_[A-Za-z0-9_=-]{43}"),
    format("plaid", r"\baccess-(?:sandbox|development|production)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
    // The rest.
    format("1password", r"\bA3-[A-Z0-9]{6}(?:-[A-Z0-9]{6}-?[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}\b"),
    format("1password-service", r"\bops_eyJ[A-Za-z0-9+/]{100,}={0,3}"),
    format("adobe", r"\bp8e-[A-Za-z0-9]{32}\b"),
    format("age", r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    format("airtable", r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b"),
    format("atlassian", r"\bATATT3[A-Za-z0-9_=-]{100,}"),
    format(
        "authress",
        r"(?x)\b(?:sc|ext|scauth|authress)_[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_-]
          [A-Za-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,120}",
    ),
    format("frameio", r"\bfio-u-[A-Za-z0-9_=-]{64}"),
    format("intra42-settlemint", r"\b(?:s-s4t2(?:ud|af)-[a-f0-9]{64}|sm_[aps]at_[A-Za-z0-9]{16})\b"),
    format(
        "linear-notion-maxmind",
        r"\b(?:lin_api_[A-Za-z0-9]{40}|ntn_[0-9]{11}[A-Za-z0-9]{35}|[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk)\b",
    ),
];

struct Usual {
    /// Finds in one pass which formats occur in a text. In nearly every text, none does.
    any: RegexSet,
    each: Vec<Regex>,
}

static USUAL: LazyLock<Usual> = LazyLock::new(|| {
    // With Unicode word boundaries, the search of a text beyond ASCII would take many times longer.
    let patterns = FORMATS.iter().map(|format| format.pattern.replace(r"\b", r"(?-u:\b)")).collect::<Vec<_>>();
    let each = patterns.iter().map(|pattern| RegexBuilder::new(pattern).size_limit(4 << 20).build());
    Usual {
        any: RegexSetBuilder::new(&patterns)
            .size_limit(64 << 20)
            .dfa_size_limit(8 << 20)
            .build()
            .expect("they are a part of the program, and a test compiles them"),
        each: each.map(|regex| regex.expect("it is a part of the program, and a test compiles it")).collect(),
    }
});

/// Finds secrets of the usual formats in a text, in no order; they may overlap.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    for at in USUAL.any.matches(text) {
        let (Some(regex), Some(format)) = (USUAL.each.get(at), FORMATS.get(at)) else { continue };
        find_groups(regex, text, found, |secret| match format.check {
            Check::Nothing => true,
            Check::Secret => can_be_secret(secret),
            Check::Random => looks_random(secret),
        });
    }
}

/// Where a pattern matches: its groups, or the whole match if it has no groups.
pub(super) fn find_groups(regex: &Regex, text: &str, found: &mut Vec<Range<usize>>, is_secret: impl Fn(&str) -> bool) {
    for captures in regex.captures_iter(text) {
        let groups = captures.iter().skip(1).flatten();
        let whole = captures.get(0).filter(|_| captures.iter().skip(1).all(|group| group.is_none()));
        let secrets = groups.chain(whole).filter(|secret| is_secret(secret.as_str()));
        found.extend(secrets.map(|secret| secret.range()).filter(|range| !range.is_empty()));
    }
}
