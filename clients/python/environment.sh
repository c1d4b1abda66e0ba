# shellcheck shell=bash
# Environments for the scripts beside this file, under target/python of the repository: one for each file of pinned
# requirements. Sourced from clients/python.

target=$(cd ../.. && pwd)/target/python
mkdir -p "$target"
# What this machine tells pip about its network, uv shall know, too.
if [ -n "${PIP_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}; fi
if [ -n "${PIP_CERT:-}" ]; then export SSL_CERT_FILE=${SSL_CERT_FILE:-$PIP_CERT}; fi

# uv, pinned: it installs in seconds what takes pip minutes.
uv() {
    local pin
    pin=$(cksum <requirements/uv.txt)
    if [ "$(cat "$target/uv.pin" 2>/dev/null)" != "$pin" ]; then
        rm -rf "$target/uv"
        "${PYTHON:-python3}" -m venv "$target/uv"
        "$target/uv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: \
            -r requirements/uv.txt
        printf '%s\n' "$pin" >"$target/uv.pin"
    fi
    UV_NO_CONFIG=1 "$target/uv/bin/uv" "$@"
}

# Makes the environment NAME of requirements/NAME.txt, with the package installed in it as its users have it.
environment() {
    local name=$1 pin
    pin=$("${PYTHON:-python3}" --version && cksum <"requirements/$name.txt")
    if [ "$(cat "$target/$name.pin" 2>/dev/null)" != "$pin" ]; then
        rm -rf "${target:?}/$name"
        uv venv --quiet --python "$(command -v "${PYTHON:-python3}")" "$target/$name"
        uv pip install --quiet --python "$target/$name/bin/python" --require-hashes --no-deps --only-binary=:all: \
            -r "requirements/$name.txt"
        printf '%s\n' "$pin" >"$target/$name.pin"
    fi
    uv pip install --quiet --python "$target/$name/bin/python" --no-deps --no-build-isolation --reinstall .
}

# The browser of the Playwright tests: Debian's, because Playwright's own is downloaded from elsewhere.
chromium() {
    if [ -x /usr/bin/chromium ]; then return; fi
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo --non-interactive); fi
    if ! { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends chromium >/dev/null; }; then
        echo 'error: the Playwright tests need /usr/bin/chromium, and apt-get could not install it' >&2
        exit 1
    fi
}
