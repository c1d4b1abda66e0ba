"""Runs the binary under test: a daemon that serves until it is no longer needed, and commands beside it."""

import contextlib
import pathlib
import signal
import subprocess
import sys
import threading

# Seconds until something that should have happened has failed.
DEADLINE = 60


def fail(message):
    sys.exit(f"error: {message}")


def run(*command, code=0, **options):
    """Runs a command that ends with this code; its standard output."""
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, **options)
    if done.returncode != code:
        fail(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def serving(binary, arguments, environment, directory):
    """A daemon that runs; what it is given is the URL of its admin listener."""
    log = pathlib.Path(directory) / "serve.log"
    with log.open("w") as stderr:
        child = subprocess.Popen(
            [binary, *arguments], env=environment, cwd=directory, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    # It says where it listens, or ends; should it do neither, it is ended.
    watchdog = threading.Timer(DEADLINE, child.kill)
    watchdog.start()
    try:
        for line in child.stdout:
            if line.startswith("metrics"):
                watchdog.cancel()
                yield line.split()[1].removesuffix("/metrics")
                break
        else:
            fail(f"aegis {' '.join(arguments)}\n{log.read_text()}")
    finally:
        watchdog.cancel()
        child.send_signal(signal.SIGTERM)
        code = child.wait(DEADLINE)
        child.stdout.close()
    if code != 0:
        fail(f"the daemon ended with {code}\n{log.read_text()}")


def certificate(place):
    """A server certificate that signs itself, and is its own authority of clients."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=aegis"
    command += " -addext subjectAltName=DNS:aegis"
    run(*command.split(), "-keyout", place / "tls.key", "-out", place / "tls.crt")
    (place / "ca.crt").write_bytes((place / "tls.crt").read_bytes())
