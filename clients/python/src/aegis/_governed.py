"""`@governed`: a function that runs only when the sidecar says so."""

from __future__ import annotations

import atexit
import copy
import functools
import inspect
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from aegis import types
from aegis._client import AegisClient, AsyncAegisClient
from aegis._govern.call import govern
from aegis._govern.hooks import Hook, Hooks
from aegis._govern.terms import Confirm, Terms, Work
from aegis._transport import Transport
from aegis.core.action import Action
from aegis.core.result import Result
from aegis.errors import ActionDenied, AegisError

__all__ = ["governed"]

P = ParamSpec("P")
R = TypeVar("R")


class _Decorator(Protocol):
    """Keeps the function's signature."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...


def governed(
    type: str,  # noqa: A002 - the API's word
    target: str = "",
    *,
    client: AegisClient | AsyncAegisClient | None = None,
    actor: Mapping[str, Any] | types.Actor | str | None = None,
    context: Mapping[str, Any] | None = None,
    description: str | None = None,
    exclude: Collection[str] = (),
    params: Callable[..., Mapping[str, Any]] | None = None,
    approval_timeout: float | None = None,
    confirm: Confirm | None = None,
    on_decision: Hook | None = None,
    on_approval: Hook | None = None,
    on_execute: Hook | None = None,
    record_data: bool = True,
    raise_on_deny: bool = True,
) -> _Decorator:
    """Wraps a function, sync or async, so that each call is governed.

    A call is proposed, waits for a reviewer where the policy asks for one, runs on an `ALLOW` and on nothing else, and
    is reported.

    Arguments are bound to the function's parameters, defaults included, and proposed as `params`; `self` and `cls` are
    left out. The function is called with a copy of what was proposed: what changes while a reviewer thinks does not
    count.

    Args:
        type: The kind of action.
        target: What it acts on.
        client: The connection. None: one that is shared by all wrapped functions, made of the environment.
        actor: Who proposes, as declared.
        context: Where the proposals come from: `{"session_id": ..., "metadata": {...}}`.
        description: The agent's own words for a reviewer. None: the first line of the function's docstring.
        exclude: Parameters that are not proposed, for example a database session. No rule and no reviewer sees them.
        params: Makes the params of the action from the arguments, where they are not the arguments themselves. What the
            reviewer sees is what this says.
        approval_timeout: Seconds to wait for a reviewer; then the proposal is withdrawn. None: until the question
            expires.
        confirm: Asks the agent's own user: `confirm(action, decision)`; only `True` is a yes. None: the answer is no.
        on_decision: Is told of the decision: `(decision)` or `(action, decision)`.
        on_approval: Is told of the answer of a reviewer or user: `(decision)` or `(action, decision)`.
        on_execute: Is told of the result of what ran: `(result)` or `(action, result)`.
        record_data: Whether what the function returns goes to the record.
        raise_on_deny: Whether a no is raised as `ActionDenied`. Otherwise the call returns the `Result` (`ok` is
            false).

    Raises:
        InvalidActionError: By a call: an argument cannot be proposed whole. The function did not run.
        ActionDenied: By a call: the answer is no.
        ReportError: By a call: the function ran, and the report failed; has the `result`.
        AegisError: By a call: there is no answer. The function did not run.
    """
    hooks = Hooks(on_decision, on_approval, on_execute)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__qualname__} is a generator: it would run after its result was reported; "
                "govern what it calls"
            )
        bind = _Binder(function, type, target, description, frozenset(exclude), params)
        if not _is_async(function):
            _refuse_async(confirm=confirm, on_decision=on_decision, on_approval=on_approval, on_execute=on_execute)

        def prepare(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Transport, Any]:
            action, call = bind(args, kwargs)
            transport = _transport(client)
            terms = Terms(
                transport.settings,
                actor,
                context,
                approval_timeout,
                confirm,
                hooks,
                record_data=record_data,
            )
            return transport, govern(terms, action, Work(lambda _: call(), raw=True))

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            transport, operation = prepare(args, kwargs)
            return _unwrap(await transport.run_async(operation), raise_on_deny)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            transport, operation = prepare(args, kwargs)
            return _unwrap(transport.run(operation), raise_on_deny)

        return run_async if _is_async(function) else run

    return cast(_Decorator, decorate)


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _refuse_async(**callbacks: Callable[..., Any] | None) -> None:
    for name, callback in callbacks.items():
        if callback is not None and _is_async(callback):
            raise TypeError(f"{name} is async and the function is not: nothing could await it")


def _unwrap(result: Result, raise_on_deny: bool) -> Any:
    if result.ok:
        return result.data
    if result.exception is not None:
        raise result.exception
    if raise_on_deny and result.decision is not None and not result.decision.allowed:
        raise ActionDenied(result.decision, result)
    return result


class _Binder:
    """Makes of a call's arguments what is proposed and what will be called."""

    def __init__(
        self,
        function: Callable[..., Any],
        kind: str,
        target: str,
        description: str | None,
        exclude: frozenset[str],
        params: Callable[..., Mapping[str, Any]] | None,
    ) -> None:
        self._function = function
        self._signature = inspect.signature(function)
        self._kind, self._target, self._params = kind, target, params
        unknown = exclude - set(self._signature.parameters)
        if unknown:
            raise TypeError(f"exclude: {function!r} has no parameter `{min(unknown)}`")
        first = next(iter(self._signature.parameters), None)
        self._exclude = exclude | ({first} if first in {"self", "cls"} else set())
        doc = inspect.getdoc(function) or ""
        self._description = description if description is not None else doc.partition("\n")[0]

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Action, Callable[[], Any]]:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if self._params is not None:
            return self._action(self._params(*args, **kwargs)), lambda: self._function(*bound.args, **bound.kwargs)
        proposed: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            if name in self._exclude:
                continue
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                proposed.update(bound.arguments[name])
            else:
                proposed[name] = bound.arguments[name]
        action = self._action(proposed)
        kept = _Kept(bound.arguments, self._exclude)

        def call() -> Any:
            kept.restore(bound)
            return self._function(*bound.args, **bound.kwargs)

        return action, call

    def _action(self, params: Mapping[str, Any]) -> Action:
        return Action(self._kind, self._target, params, self._description)


class _Kept:
    """The arguments as they were when they were proposed."""

    def __init__(self, arguments: Mapping[str, Any], exclude: Collection[str]) -> None:
        self._given = arguments
        self._exclude = exclude
        self._copies: dict[str, Any] | None
        try:
            self._copies = copy.deepcopy({name: value for name, value in arguments.items() if name not in exclude})
        except Exception:
            self._copies = None

    def restore(self, bound: inspect.BoundArguments) -> None:
        """Puts them back."""
        if self._copies is None:
            raise AegisError("the arguments cannot be copied: use `params=` to say what is proposed")
        bound.arguments.update(self._copies)


_lock = threading.Lock()
_shared: Transport | None = None


def _transport(client: AegisClient | AsyncAegisClient | None) -> Transport:
    if client is not None:
        return client._transport
    global _shared
    with _lock:
        if _shared is None:
            _shared = AegisClient()._transport
            atexit.register(_shared.close)
        return _shared
