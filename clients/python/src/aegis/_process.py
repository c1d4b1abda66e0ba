"""The process of a daemon of one's own: how it is started, read and stopped.

It ends with this process, however this process ends: the daemon reads its standard input, a pipe whose other end only
this process holds, and stops when that end is closed (`aegis serve --ends-with-parent`).
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from aegis.core.errors import SidecarError

START_TIMEOUT = 30.0
"""Seconds for a daemon to listen; it takes a fraction of one."""
STOP_TIMEOUT = 15.0
"""Seconds for it to end before it is killed."""


def start(command: Sequence[str]) -> subprocess.Popen[str]:
    """Starts a daemon that ends with this process."""
    return subprocess.Popen(
        [*command, "--ends-with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # In a session of its own: Ctrl-C is for the agent, which then reports and stops it.
        start_new_session=True,
    )


class Log:
    """The end of what a daemon has logged."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._lock:
                    self._lines.append(line)
                    del self._lines[:-1000]

    def text(self) -> str:
        with self._lock:
            return "".join(self._lines)


def first_line(process: subprocess.Popen[str], output: IO[str]) -> str:
    """The first line; the rest is read and thrown away, so that the daemon never writes into a full pipe."""
    lines: list[str] = []
    there = threading.Event()

    def read() -> None:
        with output:
            lines.append(output.readline())
            there.set()
            for _ in output:
                pass

    threading.Thread(target=read, name="aegis-output", daemon=True).start()
    if not there.wait(START_TIMEOUT):
        stop(process)
        raise SidecarError(f"the daemon did not listen within {START_TIMEOUT:.0f} s")
    return lines[0]


def stop(process: subprocess.Popen[str]) -> None:
    """Asks it to end, and waits for it."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        reap(process)


def reap(process: subprocess.Popen[str]) -> None:
    """Waits for a process that was killed."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT)


def clean_up(processes: list[subprocess.Popen[str]], home: Path) -> None:
    """Stops what still runs, and removes a directory."""
    for process in processes:
        stop(process)
    shutil.rmtree(home, ignore_errors=True)
