"""The body of a request as parameters: its value, its text, or its size."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import httpx

LONGEST_BODY = 16 * 1024
"""Bytes; of a larger body, only the size is proposed and recorded."""
DEEPEST_BODY = 30
"""How deep a JSON body may be nested that is proposed as its value: as an action may be by default."""
LARGEST_NUMBER = 2**53 - 1
"""The largest number of a JSON body that every SDK holds exactly."""


def body_of(request: httpx.Request) -> dict[str, Any]:
    try:
        content = request.content
    except httpx.RequestNotRead:
        size = request.headers.get("content-length", "")
        return {"body_bytes": int(size)} if re.fullmatch(r"[0-9]{1,15}", size) else {"body_stream": True}
    if not content:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    is_text = kind.startswith("text/") or kind == "application/x-www-form-urlencoded"
    if len(content) > LONGEST_BODY or not (is_json or is_text):
        return {"body_bytes": len(content)}
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"body_bytes": len(content)}
    if is_json:
        try:
            return {"body": _exact_json(text)}
        except (ValueError, RecursionError):
            pass
    return {"body": text}


def _exact_json(text: str) -> Any:
    """The value of a JSON text. Raises `ValueError` where it does not say all that the text does, in every SDK."""

    def number(written: str) -> float:
        value = float(written)
        if not abs(value) <= LARGEST_NUMBER or math.isnan(value):
            raise ValueError("not exact")
        return int(written) if re.fullmatch(r"-?[0-9]+", written) else value

    def named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        # A name that is there twice servers read in different ways; the other not every SDK can hold.
        if len(members) < len(pairs) or "__proto__" in members:
            raise ValueError("names")
        return members

    def constant(written: str) -> Any:
        raise ValueError(written)

    value = json.loads(text, object_pairs_hook=named, parse_int=number, parse_float=number, parse_constant=constant)
    _check_json(value, 0)
    return value


def _check_json(value: Any, depth: int) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, (dict, list)):
        if depth >= DEEPEST_BODY:
            raise ValueError("too deep")
        for name in value if isinstance(value, dict) else ():
            name.encode()
        for item in value.values() if isinstance(value, dict) else value:
            _check_json(item, depth + 1)
