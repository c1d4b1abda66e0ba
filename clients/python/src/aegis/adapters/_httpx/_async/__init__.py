"""The async transport and client. The files of `_sync` are generated from these by clients/python/generate."""
