"""How calls are governed, and what is done when the answer is yes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aegis import types
from aegis._govern.hooks import Hooks
from aegis._settings import Settings
from aegis.core.action import Action
from aegis.core.decision import Decision
from aegis.core.result import Result

Confirm: TypeAlias = Callable[[Action, Decision], Any]
"""Asks the agent's own user. Only `True` is a yes."""


@dataclass(frozen=True)
class Terms:
    """How calls are governed."""

    settings: Settings
    actor: Mapping[str, Any] | types.Actor | str | None = None
    context: Mapping[str, Any] | None = None
    approval_timeout: float | None = None
    """Seconds to wait for a reviewer; None: until the question expires."""
    confirm: Confirm | None = None
    hooks: Hooks = field(default_factory=Hooks)
    pinned_revision: str | None = None
    """The only policy under which anything runs; None: whichever is in force."""
    await_answer: Callable[[Decision], Awaitable[Decision]] | None = None
    """Waits for a reviewer's answer and asks one meanwhile. None: only waits."""
    mirror: Callable[[Result], Any] | None = None
    """Is told of every result, whatever it is."""
    record_data: bool = True
    """Whether what actions return goes to the record."""


@dataclass(frozen=True)
class Work:
    """What is done when the answer is yes."""

    execute: Callable[[Action], Any]
    verify: Callable[[Action, Result], Any] | None = None
    max_retries: int = 0
    retry_backoff: float = 1.0
    rollback: Callable[[Action, Result], Any] | None = None
    """Makes the action that undoes a failed one; None where there is none."""
    before: Callable[[], Any] | None = None
    """Is called once the answer is yes, before the first attempt."""
    describe: Callable[[Action], Any] | None = None
    """Says, just before an action is proposed, what is proposed for it: where a page is, for example."""
    again: Callable[[], Any] | None = None
    """Describes, just before it runs, what is about to run, as an action. It runs only if that is what was proposed.

    For what cannot be copied: a request of a framework, a page of a browser, the arguments beside `params=`.
    """
    streams: bool = False
    """Whether `execute` may return a generator."""
    raw: bool = False
    """Whether what `execute` returns is the data, even where it is a `Result`."""
