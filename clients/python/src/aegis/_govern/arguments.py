"""The arguments of a call as an action: bound to the function's parameters, copied, described."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aegis._values import check_text, to_struct
from aegis.core.action import Action
from aegis.core.errors import InvalidActionError


@dataclass(frozen=True)
class BoundCall:
    """A call that was bound: what is proposed for it, and how it is made."""

    action: Action
    run: Callable[[], Any]
    again: Callable[[], Action]
    """Describes what is about to run, once more."""
    key: str | None = None
    """The idempotency key of the call, where it has one."""


class Binder:
    """Makes of a call's arguments what is proposed, and what will be called."""

    def __init__(
        self,
        function: Callable[..., Any],
        kind: str,
        target: str,
        description: str | None,
        exclude: frozenset[str],
        params: Callable[..., Mapping[str, Any]] | None,
        key: str | Callable[..., str] | None,
    ) -> None:
        self._function = function
        self._signature = inspect.signature(function)
        self._kind, self._target, self._params, self._key = kind, target, params, key
        unknown = exclude - set(self._signature.parameters)
        if unknown:
            raise TypeError(f"exclude: {function!r} has no parameter `{min(unknown)}`")
        first = next(iter(self._signature.parameters), None)
        self._exclude = exclude | ({first} if first in {"self", "cls"} else set())
        doc = inspect.getdoc(function) or ""
        self._description = description if description is not None else doc.partition("\n")[0]

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> BoundCall:
        """Binds one call."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        key = self._key_of(args, kwargs)
        make = self._params
        if make is not None:
            # The arguments are the caller's own: what `params` says of them is asked again before they run.
            def describe() -> Action:
                return self._action(make(*args, **kwargs))

            return BoundCall(describe(), lambda: self._function(*bound.args, **bound.kwargs), describe, key)
        bound.arguments.update(
            copies_of({name: bound.arguments[name] for name in bound.arguments if name not in self._exclude})
        )
        action = self._action(self._proposed(bound.arguments))
        return BoundCall(action, lambda: self._function(*bound.args, **bound.kwargs), lambda: action, key)

    def _key_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        if self._key is None:
            return None
        # A key that is missing by mistake would make a call run twice.
        key = check_text(self._key(*args, **kwargs) if callable(self._key) else self._key, "idempotency_key")
        if not key:
            raise InvalidActionError("idempotency_key", "must not be empty")
        return key

    def _proposed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        proposed: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            if name in self._exclude:
                continue
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                extra = arguments[name]
            else:
                proposed[name] = arguments[name]
        for name in extra:
            if name in proposed:
                raise InvalidActionError(f"params.{name}", "is given by position and, to other keywords, by name")
        return proposed | extra

    def _action(self, params: Mapping[str, Any]) -> Action:
        return Action(self._kind, self._target, params, self._description)


def copies_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments that share nothing with the caller's. Raises where they could change before they run."""
    try:
        return copy.deepcopy(arguments)
    except Exception as error:
        # What cannot be sent says so, with its place.
        to_struct(arguments, "params")
        raise InvalidActionError(
            "params",
            f"the arguments cannot be copied ({type(error).__name__}: {error}), so they could change before they run: "
            "use `exclude=`, or say with `params=` what is proposed",
        ) from error
