# Short names for the scripts; each works without just. `just` lists them.

_list:
    @just --list --unsorted

# All tests; `just test --long` also runs what takes long
test *arguments:
    tests/run {{ arguments }}

# Format, lints, proto, deployment
gates:
    tests/gates

# What a change must pass
ci:
    .ci/run

# Format the Rust code and the protos
fmt:
    tests/tools/install buf
    cargo fmt
    target/tools/bin/buf format proto --write

# Accept a compatible change of the API
proto-accept:
    tests/proto accept

# Serve a policy, or the starter policy
serve *arguments:
    cargo run --release --locked -- serve {{ arguments }}
