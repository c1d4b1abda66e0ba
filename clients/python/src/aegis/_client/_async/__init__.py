"""The client for asyncio. The files of `_sync` are generated from these by clients/python/generate."""
