"""`@governed`: a function that runs only when the sidecar says so."""

from __future__ import annotations

import atexit
import functools
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Generator, Mapping
from contextlib import aclosing
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from aegis import types
from aegis._client import AegisClient, AsyncAegisClient
from aegis._govern.arguments import Binder
from aegis._govern.call import begin
from aegis._govern.hooks import Hook, Hooks
from aegis._govern.stream import Streaming, follow, follow_async, recorded_items
from aegis._govern.terms import Confirm, Terms, Work
from aegis._transport import Transport
from aegis.core.result import Result
from aegis.errors import denial

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
    idempotency_key: str | Callable[..., str] | None = None,
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

    Arguments are bound to the function's parameters, defaults included, copied, and proposed as `params`; `self` and
    `cls` are left out. The function is called with the copy: what changes while a reviewer thinks does not count.

    A generator, sync or async, is proposed when its first item is asked for, and reported after its last one.

    Args:
        type: The kind of action.
        target: What it acts on.
        client: The connection. None: one that is shared by all wrapped functions, made of the environment.
        actor: Who proposes, as declared.
        context: Where the proposals come from: `{"session_id": ..., "metadata": {...}}`.
        description: The agent's own words for a reviewer. None: the first line of the function's docstring.
        exclude: Parameters that are not proposed, for example a database session. No rule and no reviewer sees them.
        params: Makes the params of the action from the arguments, where they are not the arguments themselves. What the
            reviewer sees is what this says. It is asked again just before the function runs, and must say the same.
        idempotency_key: Makes the key of a call from its arguments; or the key of the only call. Calls with
            the same key within 24 hours are one: the function runs once. A call after its report returns what is on
            the record, as JSON has it, or raises `AlreadyReported` with the recorded error. A caller without a
            credential needs 16 characters or more. None: each call is another.
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
        AlreadyReported: By a call: it ran before, by its `idempotency_key`, and did not work.
        AlreadyClaimed: By a call: another call of its `idempotency_key` may be running. The function did not run.
        ReportError: By a call: the function ran, and the report failed; has the `result`.
        AegisError: By a call: there is no answer. The function did not run.
    """
    hooks = Hooks(on_decision, on_approval, on_execute)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(function, (classmethod, staticmethod)):
            wrapper: Any = function.__class__
            return cast(Callable[..., Any], wrapper(decorate(function.__func__)))
        streams = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        if streams and not raise_on_deny:
            raise TypeError(
                f"{function.__qualname__} is a generator, which cannot return a Result: leave raise_on_deny out"
            )
        binder = Binder(function, type, target, description, frozenset(exclude), params, idempotency_key)
        if not _is_async(function):
            _refuse_async(confirm=confirm, on_decision=on_decision, on_approval=on_approval, on_execute=on_execute)

        def prepare(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Transport, Terms, Any]:
            call = binder.bind(args, kwargs)
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
            work = Work(lambda _: call.run(), raw=True, again=call.again, streams=True)
            return transport, terms, begin(terms, call.action, work, call.key)

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            transport, terms, operation = prepare(args, kwargs)
            outcome = await transport.run_async(operation)
            if isinstance(outcome, Streaming):
                return follow_async(transport, terms, outcome)
            return _unwrap(outcome, raise_on_deny)

        def run(*args: Any, **kwargs: Any) -> Any:
            transport, terms, operation = prepare(args, kwargs)
            outcome = transport.run(operation)
            if isinstance(outcome, Streaming):
                return follow(transport, terms, outcome)
            return _unwrap(outcome, raise_on_deny)

        # The arguments of a generator are bound and copied by the call, and proposed when the first item is asked for.
        async def iterated_async(prepared: tuple[Transport, Terms, Any]) -> AsyncGenerator[Any, Any]:
            transport, terms, operation = prepared
            outcome = await transport.run_async(operation)
            if not isinstance(outcome, Streaming):
                _unwrap(outcome, raise_on_deny)
                for item in recorded_items(outcome) or ():
                    yield item
                return
            async with aclosing(follow_async(transport, terms, outcome)) as items:
                async for item in items:
                    yield item

        def iterated(prepared: tuple[Transport, Terms, Any]) -> Generator[Any, Any, Any]:
            transport, terms, operation = prepared
            outcome = transport.run(operation)
            if isinstance(outcome, Streaming):
                return (yield from follow(transport, terms, outcome))
            value = _unwrap(outcome, raise_on_deny)
            items = recorded_items(outcome)
            return value if items is None else (yield from items)

        if inspect.isasyncgenfunction(function):
            wrapped: Callable[..., Any] = lambda *args, **kwargs: iterated_async(prepare(args, kwargs))  # noqa: E731
        elif inspect.isgeneratorfunction(function):
            wrapped = lambda *args, **kwargs: iterated(prepare(args, kwargs))  # noqa: E731
        else:
            wrapped = run_async if _is_async(function) else run
        return functools.wraps(function)(wrapped)

    return cast(_Decorator, decorate)


def _is_async(function: Callable[..., Any]) -> bool:
    return any(
        inspect.iscoroutinefunction(of) or inspect.isasyncgenfunction(of)
        for of in (function, getattr(function, "__call__", None))  # noqa: B004
    )


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
        raise denial(result.decision, result)
    return result


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
