"""Approval handlers: reviewers inside the agent's process.

They run with a reviewer's credential that the process was given (`Access(reviewer=...)`, or the socket of a sidecar
that the runtime itself started), as a reviewer client of the daemon: the record names that reviewer. The safer
arrangement is a reviewer elsewhere (`aegis review`): who holds the credential can approve, and so can an agent that
shares the process.
"""

from __future__ import annotations

import abc
import asyncio
import inspect
import json
import sys
import threading
import unicodedata
from collections.abc import Awaitable, Callable
from typing import Any, TextIO

from aegis._settings import Settings
from aegis.core.errors import AegisError
from aegis.types import Approval

__all__ = ["ApprovalHandler", "AutoApprovalHandler", "CLIApprovalHandler", "CallbackApprovalHandler", "visible"]


class ApprovalHandler(abc.ABC):
    """Answers questions that the policy puts to reviewers."""

    @abc.abstractmethod
    async def request_approval(self, approval: Approval) -> bool | None:
        """Answers one question, as the daemon shows it: masked parameters are masked.

        Returns True to approve and False to deny exactly what was shown; None to leave it to another reviewer. It is
        cancelled when somebody else was faster, or the question has expired.
        """

    def attached(self, settings: Settings) -> None:  # noqa: B027
        """Is called with the daemon before the first question; may refuse it by raising."""


class CallbackApprovalHandler(ApprovalHandler):
    """Asks a function, sync or async. Only `True` approves; None leaves it to another reviewer; all else denies."""

    def __init__(self, callback: Callable[[Approval], bool | Awaitable[bool | None] | None]) -> None:
        self._callback = callback

    async def request_approval(self, approval: Approval) -> bool | None:
        """Asks the function."""
        answer = self._callback(approval)
        if inspect.isawaitable(answer):
            answer = await answer
        return None if answer is None else answer is True


class CLIApprovalHandler(ApprovalHandler):
    """Asks on the terminal. A thread reads the answer. It asks one question at a time.

    Args:
        source: Where answers are read; None: the standard input. Its end leaves the questions to other reviewers.
        sink: Where questions are written; None: the standard output.
    """

    # One terminal, one question.
    _turn = threading.Lock()

    def __init__(self, source: TextIO | None = None, sink: TextIO | None = None) -> None:
        self._source, self._sink = source, sink

    async def request_approval(self, approval: Approval) -> bool | None:
        """Asks until the answer is yes or no."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool | None] = loop.create_future()
        gone = threading.Event()

        def ask() -> None:
            said: bool | BaseException | None
            try:
                with self._turn:
                    said = None if gone.is_set() else self._ask(approval, gone)
            except Exception as error:
                said = error
            try:
                loop.call_soon_threadsafe(_settle, answer, said)
            except RuntimeError:
                return  # The loop is closed: nobody waits any more.

        # A thread of its own, which does not keep the process from ending while it waits for a line.
        threading.Thread(target=ask, name="aegis-approval", daemon=True).start()
        try:
            return await answer
        except asyncio.CancelledError:
            gone.set()
            self._say("\n(This question is over: press Enter.)\n")
            raise

    def _ask(self, approval: Approval, gone: threading.Event) -> bool | None:
        self._say(question(approval))
        while True:
            self._say("Approve? [y/n] ")
            line = (self._source or sys.stdin).readline()
            word = line.strip().lower()
            if gone.is_set() or not line:
                # Not an answer to this question.
                return None
            if word in {"y", "yes"}:
                return True
            if word in {"n", "no"}:
                return False

    def _say(self, text: str) -> None:
        sink = self._sink or sys.stdout
        sink.write(text)
        sink.flush()


def _settle(answer: asyncio.Future[bool | None], said: bool | BaseException | None) -> None:
    if answer.done():
        return
    if isinstance(said, BaseException):
        answer.set_exception(said)
    else:
        answer.set_result(said)


def question(approval: Approval) -> str:
    """What a person needs to answer, as text. What the agent chose is shown with `visible`."""
    action = approval.action
    rows: list[tuple[str, str]] = [
        ("action", f"{visible(action.type)} -> {visible(action.target)}"),
        ("risk", approval.risk_level.name),
        ("rule", f"{approval.matched_rule}: {visible(approval.reason)}"),
        ("params", visible(json.dumps(dict(action.params), ensure_ascii=False, sort_keys=True))),
        ("agent", f"{visible(approval.actor.id) or '-'} (authenticated: {visible(approval.identity.subject)})"),
        ("says", visible(action.description)),
        ("until", approval.expires_at),
    ]
    return "\nThe policy asks for your approval:\n" + "".join(f"  {name:<7} {text}\n" for name, text in rows if text)


# Not letters, marks, numbers, punctuation, symbols or plain spaces: what moves, hides or turns around text.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    """A text that an agent chose, safe for a terminal: control and bidirectional characters are escaped."""

    def shown(character: str) -> Any:
        if unicodedata.category(character) in _HIDDEN:
            return f"\\u{{{ord(character):x}}}"
        return character

    return "".join(map(shown, text))


class AutoApprovalHandler(ApprovalHandler):
    """Approves everything, for tests. It refuses every daemon that the test kit did not start."""

    def attached(self, settings: Settings) -> None:
        """Refuses a daemon that is not the test kit's."""
        if not settings.test_kit:
            raise AegisError(
                "AutoApprovalHandler approves whatever is asked, so it works with the test kit's daemons only: use "
                "`aegis.testing.Sidecar`, or `aegis.testing.isolated` around code that makes its own runtime"
            )

    async def request_approval(self, approval: Approval) -> bool:
        """Approves."""
        return True
