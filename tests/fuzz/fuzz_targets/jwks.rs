//! Any text as the keys of an issuer.
#![no_main]

use aegis::auth::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| fuzzing::jwks(input));
