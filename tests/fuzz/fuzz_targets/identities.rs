//! Any text as an identities file.
#![no_main]

use aegis::auth::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| fuzzing::identities_file(input));
