//! The names of secrets: globs over the words of a name, matched by `globset`.
//!
//! A name is first split into words (`clientSecret`, `CLIENT_SECRET` and `client-secret` are `-client-secret-`), so
//! `secretary` does not match. A name that says something *about* a secret does not count either:
//! `password_reset_url`, `token_count`.

use std::sync::LazyLock;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Names of secrets, over words between dashes: those that gitleaks and detect-secrets look for, and those of personal
/// and payment data that must not be stored.
const SECRET: [&str; 9] = [
    // A word may be written together with the one before it: `userpassword`.
    "*{password,passwd,passwort,kennwort,passphrase,passcode,contrasena,contraseña}{,s}-*",
    "*{secret,credential,apikey,secretkey,privatekey,accesskey,authkey,signingkey,encryptionkey}{,s}-*",
    "*{accesstoken,refreshtoken,authtoken,bearertoken,sessiontoken,apitoken,idtoken}{,s}-*",
    "*-{pwd,creds,jwt,bearer,authorization,cookie,cookies,ssn,cvc,cvv,cvv2,otp,totp,sessionkey}-*",
    "*-{api,auth,access,private,priv,secret,client,service,account,db,database,master,shared,storage,ssh,deploy,\
     license,signing,encryption,session,webhook,hmac}-key{,s}-*",
    "*-{access,refresh,auth,bearer,session,api,id}-token{,s}-*",
    "*token-",
    "*-{db,database,key,user,root,admin,smtp,ftp,mysql,redis,postgres}-pass-*",
    "*-{cardnumber,card-number,creditcard,credit-card,social-security-number,recovery-code,recovery-codes,mfa-code}-*",
];

/// Names about secrets, which are not secrets themselves, and tokens that are counted, not kept.
const ABOUT: [&str; 8] = [
    // Where the secret is, and what handles it.
    "*-{url,uri,link,endpoint,path,file,filename,dir,directory,location,region,helper,manager,provider,store}-",
    // What the secret must be, and how much of it there is.
    "*-{policy,rule,rules,count,counts,limit,limits,length,len,size,min,max,type,kind,format,strength,version,\
     algorithm,alg,usage,used,budget,ratio,cost,price,scope,scopes,issuer,audience}-",
    // How it is shown, its state, and its dates.
    "*-{name,names,field,fields,label,hint,prompt,question,description,enabled,disabled,required,optional,status,\
     exists,present,valid,verified,changed,updated,created,at,on,date,time,expiry,expires,expiration,ttl,age,timeout,\
     interval,rotation,reset}-",
    "*-expires-in-",
    "-{is,has,use,uses,needs,requires,require,allow,allows,show,hide,enable,disable,skip,max,min,num,total,count}-*",
    // Tokens that mark a position in a list or a stream, and tokens of language models.
    "*-{page,next,prev,previous,continuation,pagination,sync,resume,start,stop,end}-token-",
    "*-{nexttoken,pagetoken,nextpagetoken,synctoken}-",
    "*-{eos,bos,pad,unk,sep,cls,mask,special}-token-",
];

static USUAL: LazyLock<[GlobSet; 2]> = LazyLock::new(|| {
    let compile = |globs: &[&str]| {
        let set =
            Names::compile(globs.iter().copied()).expect("these are a part of the program, and a test compiles them");
        set.set
    };
    [compile(&SECRET), compile(&ABOUT)]
});

/// Globs over names as they are written, matched in any case.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Names {
    globs: Vec<String>,
    set: GlobSet,
}

impl Default for Names {
    fn default() -> Self {
        Self { globs: Vec::new(), set: GlobSet::empty() }
    }
}

impl Names {
    /// Compiles globs in the language of `globset`: `*`, `?`, `[a-z]`, `{a,b}`. An error has no place.
    pub(in crate::policy) fn compile<'g>(globs: impl IntoIterator<Item = &'g str>) -> Result<Self, String> {
        let (mut kept, mut builder) = (Vec::new(), GlobSetBuilder::new());
        for text in globs {
            let glob =
                GlobBuilder::new(text).case_insensitive(true).backslash_escape(false).empty_alternates(true).build();
            builder.add(glob.map_err(|error| error.kind().to_string())?);
            kept.push(text.to_owned());
        }
        let set = builder.build().map_err(|error| error.kind().to_string())?;
        Ok(Self { globs: kept, set })
    }

    /// The globs as they were given.
    pub(super) fn globs(&self) -> &[String] {
        &self.globs
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.set.is_match(name)
    }
}

/// Whether this is a usual name of a secret.
pub(super) fn is_usual(name: &str) -> bool {
    let [secret, about] = &*USUAL;
    let words = words(name);
    secret.is_match(&words) && !about.is_match(&words)
}

/// The words of a name in lower case, each between dashes: `-api-key-` for `APIKey` and `api_key`.
fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 8);
    words.push('-');
    let mut chars = name.chars().peekable();
    let mut last = '-';
    while let Some(c) = chars.next() {
        if !c.is_alphanumeric() {
            if !words.ends_with('-') {
                words.push('-');
            }
            last = '-';
            continue;
        }
        // A capital begins a word after a small letter, and at the end of an acronym before a small letter.
        let begins = c.is_uppercase()
            && (last.is_lowercase() || last.is_uppercase() && chars.peek().is_some_and(|next| next.is_lowercase()));
        if begins && !words.ends_with('-') {
            words.push('-');
        }
        words.extend(c.to_lowercase());
        last = c;
    }
    if !words.ends_with('-') {
        words.push('-');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_into_words() {
        for (name, expected) in [
            ("apiKey", "-api-key-"),
            ("APIKey", "-api-key-"),
            ("API_KEY", "-api-key-"),
            ("X-Api-Key", "-x-api-key-"),
            ("dbPASSWORD", "-db-password-"),
            ("token", "-token-"),
            ("a  b", "-a-b-"),
            ("", "-"),
            ("--", "-"),
            ("client_secret2", "-client-secret2-"),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
    }

    #[test]
    fn secrets_are_recognised_by_name() {
        for name in [
            "password",
            "Password",
            "userPassword",
            "db_password",
            "userpassword",
            "PGPASSWORD",
            "passwd",
            "pwd",
            "DB_PASS",
            "passphrase",
            "contraseña",
            "secret",
            "client_secret",
            "clientSecret",
            "clientsecret",
            "SECRET_KEY",
            "secrets",
            "aws_secret_access_key",
            "AWS_ACCESS_KEY_ID",
            "api_key",
            "apiKey",
            "apikey",
            "x-api-key",
            "OPENAI_API_KEY",
            "private_key",
            "privateKey",
            "ssh_key",
            "accountKey",
            "service-key",
            "database_key",
            "signingKey",
            "token",
            "access_token",
            "accessToken",
            "accesstoken",
            "refresh_token",
            "id_token",
            "bot_token",
            "GITHUB_TOKEN",
            "csrfToken",
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "credentials",
            "credential",
            "creds",
            "jwt",
            "cardNumber",
            "card_number",
            "cvc",
            "cvv",
            "ssn",
            "otp",
            "password_confirmation",
            "new_password",
            "password2_token",
        ] {
            assert!(is_usual(name), "{name}");
        }
    }

    #[test]
    fn values_with_names_about_secrets_stay_readable() {
        for name in [
            "secretary",
            "max_tokens",
            "maxTokens",
            "password_reset_url",
            "credential_helper",
            "token_count",
            "tokens",
            "prompt_tokens",
            "total_tokens",
            "tokens_used",
            "token_type",
            "token_endpoint",
            "passwordless",
            "password_policy",
            "is_secret",
            "hasPassword",
            "secret_name",
            "next_page_token",
            "nextPageToken",
            "pad_token",
            "tokenizer",
            "keyboard",
            "key",
            "author",
            "authority",
            "monkey",
            "api",
            "access",
            "count",
            "compass",
            "bypass",
            "card",
            "pin",
            "cookie_policy",
            "access_token_expires_in",
            "tokenize",
            "secretariat",
            "passenger",
            "description",
        ] {
            assert!(!is_usual(name), "{name}");
        }
    }

    #[test]
    fn a_policys_own_names_match_in_any_case_and_an_invalid_glob_is_refused() {
        let names = Names::compile(["*IBAN*", "{a,b}?"]).unwrap();
        assert!(names.matches("myIban") && names.matches("A1") && !names.matches("c1"));
        assert!(Names::compile(["a["]).unwrap_err().contains("unclosed character class"));
    }
}
