"""Reads `wait`, as the daemon's REST API writes it."""

from __future__ import annotations

import re

LONGEST = 3600.0
"""Seconds; a longer wait is refused: ask again."""
_TEXT = re.compile(r"(?=.)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII)
_UNITS = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)


def seconds(text: str) -> float:
    """The seconds of `30s`, `5m`, `1h30m` or `500ms`.

    Raises:
        ValueError: It is none, or longer than an hour.
    """
    found = _TEXT.fullmatch(text)
    if found is None or len(text) > 64:
        wanted = "write whole numbers with units, for example 500ms, 90s, 5m or 1h"
        raise ValueError(f"`{text[:64]}` is not a duration: {wanted}")
    total = sum(int(number) * unit for number, unit in zip(found.groups(), _UNITS, strict=True) if number)
    if total > LONGEST:
        raise ValueError("at most one hour: ask again")
    return total
