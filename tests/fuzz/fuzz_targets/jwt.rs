//! Any text as a JWT; and any header and claims, a line each, signed by a key that is trusted.
#![no_main]

use aegis::auth::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| fuzzing::jwt(input));
