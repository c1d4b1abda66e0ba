# shellcheck shell=bash
# Steps for the runners: `step NAME COMMAND…` says what runs and how long it took, and the first step that fails ends
# the run with its name. `tally PASSED FAILED SKIPPED` adds up tests; the last lines of a run say how many there were.
# Source it, in a script under `set -euo pipefail`.

steps_now=""
steps_done=()
steps_passed=0
steps_failed=0
steps_skipped=0

step() {
    steps_now=$1
    shift
    local began=$SECONDS
    printf '\n==> %s\n' "$steps_now"
    # Not in a condition: `set -e` has to hold inside the command.
    "$@"
    steps_done+=("$(printf '%5d s  %s' "$((SECONDS - began))" "$steps_now")")
    steps_now=""
}

tally() {
    steps_passed=$((steps_passed + $1))
    steps_failed=$((steps_failed + $2))
    steps_skipped=$((steps_skipped + $3))
}

steps_report() {
    local status=$?
    printf '\n'
    [ "${#steps_done[@]}" -eq 0 ] || printf '%s\n' "${steps_done[@]}"
    if [ -n "$steps_now" ]; then
        printf 'FAILED: %s\n' "$steps_now"
    fi
    if [ "$((steps_passed + steps_failed + steps_skipped))" -gt 0 ]; then
        printf 'tests: %d passed, %d failed, %d skipped\n' "$steps_passed" "$steps_failed" "$steps_skipped"
    fi
    exit "$status"
}
trap steps_report EXIT
