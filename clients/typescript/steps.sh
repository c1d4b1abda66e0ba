# shellcheck shell=bash
# What `test`, `test-peers` and `lint` share. Sourced in this directory.

# Node.js, and the packages of the lockfile: installed anew when it changes.
need_packages() {
    local pin major
    if ! command -v npm >/dev/null; then
        echo 'error: `npm` is not installed: Node.js 20.11 or later brings it' >&2
        exit 1
    fi
    major=$(node -p 'process.versions.node.split(".")[0]')
    if [ "$major" -lt 20 ]; then
        echo "error: this is Node.js $(node --version), and 20.11 or later is needed" >&2
        exit 1
    fi
    pin=$(cat package-lock.json .npmrc | cksum)
    [ "$(cat node_modules/.pin 2>/dev/null)" = "$pin" ] && return
    npm ci --loglevel=error
    printf '%s\n' "$pin" >node_modules/.pin
}

# A browser for the Playwright adapter; none can be downloaded from Playwright itself.
need_chromium() {
    export CHROMIUM=${CHROMIUM:-/usr/bin/chromium}
    [ -x "$CHROMIUM" ] && return
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq || true
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends chromium >/dev/null
    [ -x "$CHROMIUM" ] && return
    printf 'error: `%s` is not there after installing the package chromium: ' "$CHROMIUM" >&2
    printf 'name a browser with CHROMIUM\n' >&2
    exit 1
}

# Runs tests with this Node.js; the last line counts them.
run_tests() {
    local node=$1 results status=0
    shift
    results=$(mktemp)
    "$node" node_modules/vitest/vitest.mjs run --reporter=default --reporter=json --outputFile.json="$results" "$@" </dev/null ||
        status=$?
    "$node" --input-type=module - "$results" "$status" <<'JS' || status=1
import { readFileSync, rmSync } from "node:fs";

const [results, status] = process.argv.slice(2);
const text = readFileSync(results, "utf8");
rmSync(results);
const counts = text === "" ? {} : JSON.parse(text);
const { numPassedTests = 0, numFailedTests = 0, numPendingTests = 0, numTodoTests = 0 } = counts;
// A file that does not load, or an error outside of any test, fails the run without failing a test.
const failed = Math.max(numFailedTests, Number(status) === 0 ? 0 : 1);
console.log(`tests: ${numPassedTests} passed, ${failed} failed, ${numPendingTests + numTodoTests} skipped`);
process.exit(failed === 0 && numPassedTests > 0 ? 0 : 1);
JS
    return "$status"
}
