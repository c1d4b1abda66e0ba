"""What the streams of the clients are: generators, so that a caller can close them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")

AsyncStream: TypeAlias = AsyncGenerator[T, None]
Stream: TypeAlias = Generator[T, None, None]
