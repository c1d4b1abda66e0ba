# shellcheck shell=bash
# Sourced by test and lint: what they share.

command -v go >/dev/null || {
    echo 'error: `go` is not installed: Go 1.25 or later' >&2
    exit 1
}
# A work tree's commit is no part of what is built here.
export GOFLAGS=-buildvcs=false GOWORK=off

# The modules, by their directories: the SDK itself, and what would burden it with dependencies.
# shellcheck disable=SC2034
modules=(. aegismcp behaviours)
