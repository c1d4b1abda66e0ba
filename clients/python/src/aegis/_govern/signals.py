"""A process that is told to end while it waits for a reviewer withdraws what it waits for.

Python ends at once on SIGTERM, and runs no cleanup. From the proposal to the decision of a call in the main thread,
SIGTERM raises `SystemExit` instead: the call withdraws its proposal, and then the process ends. A handler of the
process's own is left alone.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn

_waiting = 0


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def ends_by_signal() -> Iterator[None]:
    """Inside of it, SIGTERM unwinds the main thread. Waits may overlap, as those of several tasks do."""
    global _waiting
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if _waiting == 0 and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    if _waiting == 0:
        signal.signal(signal.SIGTERM, _end)
    _waiting += 1
    try:
        yield
    finally:
        _waiting -= 1
        if _waiting == 0 and signal.getsignal(signal.SIGTERM) is _end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
