//! [`SignInCodes`]: codes that sign a person in to the console once.
//!
//! `aegis console` prints an address with such a code, so that no credential is in an address, in a browser's history
//! or on a screen. The page exchanges the code for the credential of whoever asked for it. There is no session of the
//! daemon's own: the credential has its roles, its end and its revocation, and it outlives a restart.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use subtle::ConstantTimeEq as _;

use crate::domain::Digest;

/// How long a code can be exchanged.
pub(crate) const LIFETIME: Duration = Duration::from_mins(1);
/// How many codes can be open at once. The oldest makes room.
const MOST: usize = 64;
/// Nobody guesses 128 bits in a minute.
const CODE_BYTES: usize = 16;

/// The codes that are not used yet. They are kept in memory only.
#[derive(Debug, Default)]
pub(crate) struct SignInCodes(Mutex<VecDeque<Open>>);

/// A code that is not used yet. Its hash is kept.
#[derive(Debug)]
struct Open {
    code: Digest,
    /// The `authorization` header of whoever asked for the code. It is marked as sensitive.
    authorization: HeaderValue,
    until: Duration,
}

impl SignInCodes {
    /// A new code for this credential. `uptime` is the time now.
    pub(crate) fn create(&self, authorization: &HeaderValue, uptime: Duration) -> Result<String, getrandom::Error> {
        let mut bytes = [0; CODE_BYTES];
        getrandom::fill(&mut bytes)?;
        let code = URL_SAFE_NO_PAD.encode(bytes);
        let mut authorization = authorization.clone();
        authorization.set_sensitive(true);
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|open| open.until > uptime);
        codes.truncate(MOST - 1);
        codes.push_front(Open { code: Digest::of(code.as_bytes()), authorization, until: uptime + LIFETIME });
        Ok(code)
    }

    /// The credential behind this code, once.
    pub(crate) fn exchange(&self, code: &str, uptime: Duration) -> Option<HeaderValue> {
        let wanted = Digest::of(code.as_bytes());
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|open| open.until > uptime);
        let place = codes.iter().position(|open| bool::from(open.code.0.ct_eq(&wanted.0)))?;
        codes.remove(place).map(|open| open.authorization)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const BEARER: HeaderValue = HeaderValue::from_static("Bearer secret");

    #[test]
    fn a_code_is_good_once_and_for_a_minute() {
        let codes = SignInCodes::default();
        let code = codes.create(&BEARER, NOW).unwrap();
        assert_eq!(codes.exchange("", NOW), None);
        assert_eq!(codes.exchange(&code, NOW + LIFETIME.mul_f32(0.9)), Some(BEARER));
        assert_eq!(codes.exchange(&code, NOW), None, "it was used");
        let code = codes.create(&BEARER, NOW).unwrap();
        assert_eq!(codes.exchange(&code, NOW + LIFETIME), None, "it is over");
    }

    #[test]
    fn the_oldest_code_makes_room() {
        let codes = SignInCodes::default();
        let made: Vec<_> = (0..=MOST).map(|_| codes.create(&BEARER, NOW).unwrap()).collect();
        assert_eq!(codes.exchange(&made[0], NOW), None);
        assert!(made[1..].iter().all(|code| codes.exchange(code, NOW).is_some()));
    }

    #[test]
    fn what_is_kept_shows_no_secret() {
        let codes = SignInCodes::default();
        let code = codes.create(&BEARER, NOW).unwrap();
        let shown = format!("{codes:?}");
        assert!(!shown.contains("secret") && !shown.contains(&code), "{shown}");
    }
}
