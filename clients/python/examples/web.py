"""A web application that asks before it acts, and does not act for a client that has left.

Start `aegis serve` first. Usage: uvicorn web:app
"""

import asyncio

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from aegis import ActionDenied, AsyncAegisClient, governed

app = FastAPI()
aegis = AsyncAegisClient()


# Async: a route that waits for a reviewer takes no thread of the pool, which has 40. Its wait has an end.
@governed("write", "orders", client=aegis, approval_timeout=60.0)
async def refund(order: str, amount: float) -> dict[str, str]:
    """Refunds an order."""
    return {"refunded": order}


@app.post("/refunds/{order}")
async def refunds(order: str, amount: float, request: Request) -> dict[str, str]:
    """Withdraws the proposal when the client has left: nobody shall approve what nobody waits for."""
    call = asyncio.ensure_future(refund(order, amount))
    try:
        while not (await asyncio.wait({call}, timeout=0.5))[0]:
            if await request.is_disconnected():
                break
        else:
            return await call
        call.cancel()
        await asyncio.wait({call})
        return {"left": order}
    finally:
        call.cancel()


@app.exception_handler(ActionDenied)
async def denied(_: Request, error: ActionDenied) -> JSONResponse:
    """A no is 403, and not 500."""
    return JSONResponse({"detail": str(error)}, status_code=403)
