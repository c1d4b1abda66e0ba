"""The options of a `Runtime`, in groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

from aegis._client import AegisClient, AsyncAegisClient
from aegis._govern.hooks import Hook, Hooks
from aegis._govern.terms import Confirm
from aegis.core.action import Action, ActionLike
from aegis.core.result import Result
from aegis.runtime.approval import ApprovalHandler

__all__ = ["Access", "AnyClient", "Approvals", "Hooks", "Options", "Recording", "Retries", "ShortOptions"]

AnyClient = AegisClient | AsyncAegisClient


class ResultLogger(Protocol):
    """Is told of every result."""

    def log(self, result: Result) -> Any:
        """Logs one."""


@dataclass(frozen=True)
class Approvals:
    """Who answers what the policy asks, and for how long the runtime waits."""

    handler: ApprovalHandler | None = None
    """Answers, in this process, what the policy asks reviewers. Needs `Access.reviewer`, or a sidecar of the runtime's
    own.

    None: with such a sidecar and a terminal, the terminal is asked; else reviewers elsewhere are waited for (`aegis
    review`).
    """
    timeout: float | None = None
    """Seconds to wait for a reviewer; then the proposal is withdrawn. None: until the question expires."""
    confirm: Confirm | None = None
    """Asks the agent's own user: `confirm(action, decision)`; only `True` is a yes. None: the answer is no."""


@dataclass(frozen=True)
class Retries:
    """What happens when an action fails."""

    max_retries: int = 0
    """How many more times a failing action is tried, under its one decision."""
    backoff: float = 1.0
    """Seconds before the first retry; each further one waits twice as long, at most 30 s."""
    rollback: ActionLike | Callable[..., Any] | None = None
    """Undoes an action that failed for good: an action, or `rollback(action, result)`, which gives one or None.

    It is proposed and recorded as any other action.
    """

    def __post_init__(self) -> None:
        if self.max_retries < 0:
            raise ValueError(f"max_retries must be 0 or more, not {self.max_retries}")

    def undoing(self) -> Callable[[Action, Result], Any] | None:
        """The function that makes the action that undoes a failed one."""
        given: Any = self.rollback
        if given is None:
            return None
        if callable(given) and not isinstance(given, (Action, Mapping)):
            make: Callable[[Action, Result], Any] = given
            return make
        return lambda _action, _result: given


@dataclass(frozen=True)
class Access:
    """Clients with credentials that an agent does not have.

    Whoever shares the process can use them, the agent included.
    """

    reviewer: AnyClient | None = None
    """Decides what `Approvals.handler` answers."""
    auditor: AnyClient | None = None
    """Reads the record, for `Runtime.audit`."""
    admin: AnyClient | None = None
    """Changes the policy, for `Runtime.update_policy`."""


@dataclass(frozen=True)
class Recording:
    """What is said of results."""

    logger: ResultLogger | None = None
    """Is told of every result (`LoggingAuditLogger`). The daemon keeps the record, whatever this does."""
    data: bool = True
    """Whether what actions return goes to the record."""


class ShortOptions(TypedDict, total=False):
    """Options that `Runtime` also takes by the names that they have in agent-aegis, instead of in their group."""

    approval_handler: ApprovalHandler | None
    audit_logger: ResultLogger | None
    on_decision: Hook | None
    on_approval: Hook | None
    on_execute: Hook | None
    max_retries: int
    retry_backoff: float


_SHORT = {
    "approval_handler": ("approvals", "handler"),
    "audit_logger": ("recording", "logger"),
    "on_decision": ("hooks", "on_decision"),
    "on_approval": ("hooks", "on_approval"),
    "on_execute": ("hooks", "on_execute"),
    "max_retries": ("retries", "max_retries"),
    "retry_backoff": ("retries", "backoff"),
}


@dataclass(frozen=True)
class Options:
    """All groups of one runtime."""

    approvals: Approvals
    retries: Retries
    hooks: Hooks
    access: Access
    recording: Recording

    @classmethod
    def read(
        cls,
        short: ShortOptions,
        *,
        approvals: Approvals | None,
        retries: Retries | None,
        hooks: Hooks | None,
        access: Access | None,
        recording: Recording | None,
    ) -> Options:
        """Puts groups and short names together. An option that both name is refused."""
        groups: dict[str, Any] = {"approvals": approvals, "retries": retries, "hooks": hooks, "recording": recording}
        kinds = {"approvals": Approvals, "retries": Retries, "hooks": Hooks, "recording": Recording}
        chosen: dict[str, dict[str, Any]] = {}
        for name, value in short.items():
            if name not in _SHORT:
                raise TypeError(f"Runtime has no option `{name}`")
            group, field = _SHORT[name]
            if groups[group] is not None:
                raise TypeError(f"`{name}` is `{kinds[group].__name__}.{field}`: give it there, in `{group}=`")
            chosen.setdefault(group, {})[field] = value
        made = {group: groups[group] or kind(**chosen.get(group, {})) for group, kind in kinds.items()}
        return cls(**made, access=access or Access())
