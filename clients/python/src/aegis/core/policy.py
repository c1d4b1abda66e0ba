"""The policy, as the agent's side holds it: the text of its layers. The daemon alone knows what it means."""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from aegis import types
from aegis._client import AegisClient
from aegis._sidecar import Daemon, validate
from aegis.core.action import ActionLike

__all__ = ["Policy"]


class Policy:
    """Layers of YAML, lowest first: a later one wins.

    Its rules are tried first, a named rule replaces the one of that name in an earlier layer, and its defaults
    override, key by key. `evaluate`, `revision` and `validate` are answered by a daemon that is started for this
    policy, in a directory of its own, and stopped with it.
    """

    def __init__(self, *layers: types.PolicyLayer) -> None:
        if not layers:
            raise ValueError("a policy has at least one layer")
        self._layers = layers
        self._lock = threading.Lock()
        self._operator: AegisClient | None = None
        self._revision: str | None = None

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Policy:
        """Reads a file. What is wrong in it is said when the policy is used, or by `validate`."""
        return cls.from_yaml_files(path)

    @classmethod
    def from_yaml_files(cls, *paths: str | os.PathLike[str]) -> Policy:
        """Reads files, lowest layer first."""
        return cls(*(types.PolicyLayer(os.fspath(path), Path(path).read_text(encoding="utf-8-sig")) for path in paths))

    @classmethod
    def from_text(cls, yaml: str, name: str = "policy.yaml") -> Policy:
        """A policy of one layer, from its text. Messages call it `name`."""
        return cls(types.PolicyLayer(name, yaml))

    @classmethod
    def from_dict(cls, policy: Mapping[str, Any], name: str = "policy.yaml") -> Policy:
        """A policy of one layer, from a map of what YAML can hold."""
        return cls.from_text(json.dumps(policy, indent=2, ensure_ascii=False, allow_nan=False), name)

    def merge(self, other: Policy) -> Policy:
        """Both, with the other's layers on top: the other wins."""
        return Policy(*self._layers, *other.layers)

    @property
    def layers(self) -> Sequence[types.PolicyLayer]:
        """The layers, lowest first."""
        return self._layers

    @property
    def revision(self) -> str:
        """SHA-256 in hex of the canonical JSON of the merged policy, as decisions name it. Raises if not valid."""
        if self._revision is None:
            self._revision = validate(self._daemon(), self._layers)
        return self._revision

    def validate(self) -> types.Validation:
        """Whether it is valid, and everything that is wrong with it. Asks a daemon with the built-in policy."""
        daemon = Daemon()
        try:
            daemon.start()
            with daemon.operator() as operator:
                return operator.validate_policy(*self._layers)
        finally:
            daemon.close()

    def evaluate(
        self,
        action: ActionLike,
        *,
        actor: Mapping[str, Any] | types.Actor | str | None = None,
        at: datetime | str | None = None,
        explain: bool = False,
    ) -> types.Evaluation:
        """What it answers for an action: for unit tests of policies.

        Args:
            action: The action.
            actor: Who would propose it.
            at: The moment that time conditions see; now without it.
            explain: Whether to say why, rule by rule.
        """
        return self._daemon().evaluate(action, actor=actor, at=at, explain=explain)

    def evaluate_many(
        self,
        actions: Sequence[ActionLike],
        *,
        actor: Mapping[str, Any] | types.Actor | str | None = None,
        at: datetime | str | None = None,
        explain: bool = False,
    ) -> list[types.Evaluation]:
        """`evaluate` for many actions: one answer each, in order."""
        return self._daemon().evaluate_many(actions, actor=actor, at=at, explain=explain)

    def _daemon(self) -> AegisClient:
        """The daemon that knows what this policy means."""
        with self._lock:
            if self._operator is None:
                daemon = Daemon(self._layers)
                weakref.finalize(self, daemon.close)
                daemon.start()
                self._operator = daemon.operator()
            return self._operator

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self._layers == tuple(other.layers)

    def __hash__(self) -> int:
        return hash(self._layers)

    def __repr__(self) -> str:
        return f"Policy({', '.join(layer.name for layer in self._layers)})"
