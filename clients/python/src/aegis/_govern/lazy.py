"""What a function returned that has done nothing yet: a generator, `map(delete, ids)`. It works while it is read.

An object that can do more than be read, such as a file or a database's cursor, is not lazy: it is a result.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Any

# The iterators of collections, which hold all that they give.
_COLLECTIONS: tuple[Any, ...] = ([], (), "", "é", b"", bytearray(), {}, {}.values(), {}.items(), set(), range(0))
_OF_COLLECTIONS = tuple({type(iter(collection)) for collection in _COLLECTIONS})
# What generators have for whoever reads them.
_OF_READERS = {"send", "throw", "close", "asend", "athrow", "aclose"}


def is_lazy(returned: Any) -> bool:
    """Whether it can do nothing but be read, item by item."""
    kind = type(returned)
    if issubclass(kind, (Generator, AsyncGenerator)) or kind.__module__ == itertools.__name__:
        return True
    if issubclass(kind, _OF_COLLECTIONS) or not issubclass(kind, (Iterator, AsyncIterator)):
        return False
    return not any(name for name in dir(kind) if not name.startswith("_") and name not in _OF_READERS)


def as_generator(lazy: Any) -> Any:
    """The same as a generator."""
    if isinstance(lazy, (Generator, AsyncGenerator)):
        return lazy
    return _each_async(lazy) if isinstance(lazy, AsyncIterator) else (item for item in lazy)


async def _each_async(items: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    async for item in items:
        yield item
