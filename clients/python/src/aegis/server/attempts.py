"""Limits wrong credentials, so that one caller's guesses do not lock others out of the sidecar.

The sidecar sees all callers of the app at one address, and limits the wrong credentials of an address. So the app has
smaller limits of its own, by the address of the caller and in all. A token that was right before is not limited.
"""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections import OrderedDict
from dataclasses import dataclass

from aegis.server.problems import Problem

_KNOWN = 1024
_PEERS = 4096


@dataclass
class _Budget:
    burst: float
    per_second: float
    left: float
    at: float

    @classmethod
    def full(cls, burst: float, per_second: float) -> _Budget:
        return cls(burst, per_second, burst, time.monotonic())

    def refill(self) -> float:
        now = time.monotonic()
        self.left, self.at = min(self.burst, self.left + (now - self.at) * self.per_second), now
        return self.left

    def take(self) -> None:
        self.left = max(0.0, self.refill() - 1.0)


class Attempts:
    """Counts wrong credentials."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._peers: OrderedDict[str, _Budget] = OrderedDict()
        # The sidecar refills ten a second.
        self._all = _Budget.full(50.0, 5.0)

    def check(self, token: str, peer: str) -> None:
        """Refuses to try a token of a caller who had too many wrong ones."""
        if _digest(token) in self._known:
            return
        budget = self._peers.get(_group(peer))
        if self._all.refill() < 1.0 or (budget is not None and budget.refill() < 1.0):
            why = "too many credentials were wrong: correct the credential, then retry"
            raise Problem("TOO_MANY_FAILURES", 429, why, retry_after=1.0)

    def settle(self, token: str, peer: str, *, right: bool) -> None:
        """Counts how a token turned out."""
        digest = _digest(token)
        if right:
            self._known[digest] = None
            self._known.move_to_end(digest)
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
            return
        self._known.pop(digest, None)
        self._all.take()
        group = _group(peer)
        budget = self._peers.setdefault(group, _Budget.full(10.0, 1.0))
        budget.take()
        self._peers.move_to_end(group)
        if len(self._peers) > _PEERS:
            self._peers.popitem(last=False)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _group(peer: str) -> str:
    """A caller's address; of IPv6 the first 64 bits, which one customer of a provider has."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
