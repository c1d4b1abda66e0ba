"""The REST API with your own executor: an ASGI app over a local sidecar. Needs the extra `[server]`.

    from aegis.server import create_app

    app = create_app(policy_path="policy.yaml", executor=MyExecutor())
    uvicorn.run(app, port=8000)

The sidecar decides and records. The app runs what is allowed, in this process, and passes everything else on.
"""

try:
    import httpx as _httpx
    import starlette as _starlette
except ImportError as _error:
    raise ImportError(f"aegis.server needs {_error.name}: pip install 'aegis-sidecar[server]'") from None

from aegis.server.app import create_app

__all__ = ["create_app"]

del _httpx, _starlette
