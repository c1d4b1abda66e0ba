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

    def give_back(self) -> None:
        self.left = min(self.burst, self.refill() + 1.0)


class Attempts:
    """Counts wrong credentials."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._peers: OrderedDict[str, _Budget] = OrderedDict()
        # The sidecar refills ten a second.
        self._all = _Budget.full(50.0, 5.0)

    def begin(self, token: str, peer: str) -> Attempt:
        """Tries a token. Until it is settled, it counts as a wrong one: guesses may come at once.

        Raises:
            Problem: This caller, or all together, had too many wrong ones.
        """
        digest = hashlib.sha256(token.encode()).digest()
        if digest in self._known:
            return Attempt(self, digest, ())
        group = _group(peer)
        budget = self._peers.setdefault(group, _Budget.full(10.0, 1.0))
        self._peers.move_to_end(group)
        if len(self._peers) > _PEERS:
            self._peers.popitem(last=False)
        budgets = (self._all, budget)
        if any(budget.refill() < 1.0 for budget in budgets):
            why = "too many credentials were wrong: correct the credential, then retry"
            raise Problem("TOO_MANY_FAILURES", 429, why, retry_after=1.0)
        for budget in budgets:
            budget.take()
        return Attempt(self, digest, budgets)

    def learn(self, digest: bytes, *, right: bool) -> None:
        """Remembers a token that was right; forgets one that is not any more."""
        if not right:
            self._known.pop(digest, None)
            return
        self._known[digest] = None
        self._known.move_to_end(digest)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)


class Attempt:
    """A token that a request shows."""

    def __init__(self, attempts: Attempts, digest: bytes, taken: tuple[_Budget, ...]) -> None:
        self._attempts, self._digest, self._taken = attempts, digest, taken

    def settle(self, *, right: bool) -> None:
        """Says how the token turned out."""
        self._attempts.learn(self._digest, right=right)
        if right:
            self.close()
        self._taken = ()

    def close(self) -> None:
        """Ends an attempt. One that nobody settled does not count."""
        taken, self._taken = self._taken, ()
        for budget in taken:
            budget.give_back()


def _group(peer: str) -> str:
    """A caller's address; of IPv6 the first 64 bits, which one customer of a provider has."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
