"""The client: the classes of all roles in one."""

from __future__ import annotations

from aegis._client._async.admin import AsyncAdmin
from aegis._client._async.agent import AsyncAgent
from aegis._client._async.auditor import AsyncAuditor
from aegis._client._async.reviewer import AsyncReviewer


class AsyncAegisClient(AsyncAgent, AsyncReviewer, AsyncAuditor, AsyncAdmin):
    """A connection to the sidecar, for code that uses asyncio.

    Connects when it is first used, under any event loop. Close it, or use it in an `async with` statement.

    Args:
        endpoint: `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`. None: `AEGIS_ENDPOINT`, else
            `agent.sock` in the data directory of this user, if it is there, else `http://127.0.0.1:50051`.
        api_key: The credential. None: `AEGIS_TOKEN`, else `AEGIS_API_KEY`, else none. An empty one sends none,
            whatever the environment holds: the caller is an anonymous agent. It is sent only over `https://`, a unix
            socket or loopback.
        timeout: Seconds that one attempt of one call may take. Waiting for a reviewer is not a call in this sense.
        retries: How many more attempts there are after a failure that may pass.
        retry_delay: Seconds before the first retry; each further one waits twice as long, at most 30 s, with jitter.
        tls: Whose certificates to believe and which to show at an `https://` endpoint.

    Raises:
        AegisError: The endpoint cannot be understood, or the credential would travel in the open.
    """
