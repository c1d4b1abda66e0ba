# shellcheck shell=bash
# Steps for the runners: `step NAME COMMAND…` says what runs and how long it took, and the first step that fails ends
# the run with its name. `tally PASSED FAILED SKIPPED` adds up tests; the last lines of a run say how many there were.
# `lanes FUNCTION…` runs functions of steps at the same time, each line of theirs behind its name: steps that wait for the
# network or for a clock leave the processor to others. Source it, in a script under `set -euo pipefail`.

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

# One lane that fails does not stop the others, and fails the run.
lanes() {
    local lane failed=0 process processes=() reports
    reports=$(mktemp -d)
    for lane in "$@"; do
        (lane "$lane" "$reports/$lane" 2>&1 | sed -u "s/^/$lane | /") &
        processes+=($!)
    done
    for process in "${processes[@]}"; do
        wait "$process" || failed=1
    done
    for lane in "$@"; do
        # shellcheck source=/dev/null
        source "$reports/$lane"
    done
    rm -rf "$reports"
    return "$failed"
}

# What a lane's steps took and counted goes into a file, which the run reads.
lane() {
    steps_done=() steps_passed=0 steps_failed=0 steps_skipped=0
    # shellcheck disable=SC2064
    trap "lane_report '$2'" EXIT
    "$1"
}

lane_report() {
    {
        [ "${#steps_done[@]}" -eq 0 ] || printf 'steps_done+=(%q)\n' "${steps_done[@]}"
        [ -z "$steps_now" ] || printf 'steps_now+=${steps_now:+, }%q\n' "$steps_now"
        printf 'tally %d %d %d\n' "$steps_passed" "$steps_failed" "$steps_skipped"
    } >"$1"
}

steps_report() {
    local status=$?
    printf '\n'
    [ "${#steps_done[@]}" -eq 0 ] || printf '%s\n' "${steps_done[@]}"
    if [ -n "$steps_now" ]; then
        # The end of a log is what one sees first. A runner may know more about what failed.
        ! declare -F failures >/dev/null || failures || true
        printf 'FAILED: %s\n' "$steps_now"
    fi
    if [ "$((steps_passed + steps_failed + steps_skipped))" -gt 0 ]; then
        printf 'tests: %d passed, %d failed, %d skipped\n' "$steps_passed" "$steps_failed" "$steps_skipped"
    fi
    exit "$status"
}
trap steps_report EXIT
