"""httpx: governs HTTP requests, as an executor of actions or under httpx's own clients. Needs the extra `httpx`.

What is proposed, and what is sent, is the same: a copy of the request, made before it is proposed. The action's type is
the verb in lower case (`get`, `delete`). Its target is the final URL, absolute and normalised (case of scheme and host,
default port, dot segments, needless percent-encoding), without query and fragment. So neither case nor an absolute URL
nor an escape nor a `?x` dodges a rule. Every hop of a redirect is proposed on its own.

Refused is what servers read in different ways: a user in the URL, an address like `127.1`, a `;` in the query, an
escaped slash in the path (`allow_encoded_slashes=True` allows it), another `Host`, a header that names another path
(`X-Original-URL`, `X-Forwarded-Host`, ...), a header that says where the body ends, JSON that says a name twice.

The params, each where there is one, are `query` (each name with its list of values), `method_override` (the verb that a
header asks for, in lower case), and `body`. JSON is tried whatever the content type says. `body` is the value of a JSON
body (what could not be sent exactly is text), or the text of a text or a form, up to 16 KiB. Of any other body,
`body_bytes` is its size, and `body_stream` is true where that is not known. Other headers are not proposed: they hold
credentials.
"""

from __future__ import annotations

from aegis.adapters._httpx._async.client import AsyncGovernedClient
from aegis.adapters._httpx._async.transport import AsyncAegisTransport
from aegis.adapters._httpx._sync.client import GovernedClient
from aegis.adapters._httpx._sync.transport import AegisTransport
from aegis.adapters._httpx.executor import HttpxExecutor
from aegis.adapters._httpx.url import normalised_url

__all__ = [
    "AegisTransport",
    "AsyncAegisTransport",
    "AsyncGovernedClient",
    "GovernedClient",
    "HttpxExecutor",
    "normalised_url",
]
