"""What the adapters share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from aegis.core.result import Result


def as_text(result: Result) -> str:
    """What a model is told of an action that did not work: `[AEGIS BLOCKED] ...`. It can go on with that."""
    return f"[AEGIS {result.status.value.upper()}] {result.error or result.reason}"


def as_params(value: Any) -> Any:
    """Arguments as frameworks hand them over, as JSON: models and dataclasses become maps."""
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_params(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {key: as_params(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_params(item) for item in value]
    return value
