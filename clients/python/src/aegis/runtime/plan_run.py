"""One execution of a plan: its actions in order, several at once where that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aegis._govern.call import govern, skip
from aegis._govern.terms import Terms, Work
from aegis._transport import Transport
from aegis.core.action import Action
from aegis.core.errors import AegisError
from aegis.core.result import Result
from aegis.core.status import ResultStatus
from aegis.errors import ReportError

SKIPPED = "Skipped due to prior failure"


class PlanRun:
    """One execution of a plan."""

    def __init__(
        self,
        transport: Transport,
        terms: Callable[[], Terms],
        work: Work,
        actions: list[Action],
        keys: Sequence[str | None],
    ) -> None:
        self._transport, self._terms, self._work = transport, terms, work
        self._actions, self._keys = actions, keys
        self._results: dict[int, Result] = {}
        self._turns = iter(range(len(actions)))
        self._stopped = False
        self._error: BaseException | None = None

    async def run(self, parallelism: int) -> list[Result]:
        """Runs it, so many actions at once."""
        workers = [asyncio.ensure_future(self._worker()) for _ in range(min(parallelism, len(self._actions)))]
        try:
            await asyncio.gather(*workers)
        except BaseException:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            raise
        results = [self._results[index] for index in sorted(self._results)]
        if self._error is not None:
            if isinstance(self._error, AegisError):
                self._error.results = results
            raise self._error
        return results

    async def _worker(self) -> None:
        for index in self._turns:
            action = self._actions[index]
            terms = self._terms()
            if self._stopped:
                await self._skip(terms, index, action)
                continue
            try:
                result = await self._transport.run_async(govern(terms, action, self._work, self._keys[index]))
            except ReportError as error:
                self._results[index] = error.result
                self._stop(error)
            except Exception as error:
                self._stop(error)
            else:
                self._results[index] = result
                if result.status not in {ResultStatus.SUCCESS, ResultStatus.BLOCKED, ResultStatus.SKIPPED}:
                    self._stopped = True

    def _stop(self, error: Exception) -> None:
        self._stopped = True
        if self._error is None:
            self._error = error

    async def _skip(self, terms: Terms, index: int, action: Action) -> None:
        if isinstance(self._error, AegisError):
            # The daemon does not answer, or not so that it could be relied on.
            return
        try:
            self._results[index] = await self._transport.run_async(skip(terms, action, SKIPPED, self._keys[index]))
        except AegisError as error:
            self._stop(error)
