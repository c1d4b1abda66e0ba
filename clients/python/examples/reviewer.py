"""A reviewer as a program: approves what is small, denies the rest, and says why.

Make a token first: `aegis token create --role reviewer --name robot`. Usage: AEGIS_TOKEN=... python reviewer.py
[SECONDS]
"""

import asyncio
import sys

from aegis import AsyncAegisClient


async def review(client: AsyncAegisClient) -> None:
    async for event in client.stream_approvals():
        if event.kind != "pending" or event.approval is None:
            continue
        approval = event.approval
        if approval.action.params.get("count", 0) <= 200:
            await client.approve(approval, reason="small enough")
        else:
            await client.deny(approval, reason="too many at once")
        print(approval.action, "decided", flush=True)


async def main() -> None:
    async with AsyncAegisClient() as client:
        try:
            await asyncio.wait_for(review(client), float(sys.argv[1]) if len(sys.argv) > 1 else None)
        except asyncio.TimeoutError:
            print("enough for today")


asyncio.run(main())
