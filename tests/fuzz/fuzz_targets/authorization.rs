//! Any bytes as the authorization header of a call.
#![no_main]

use aegis::auth::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzzing::authorization(input));
