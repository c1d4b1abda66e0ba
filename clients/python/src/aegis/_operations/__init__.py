"""The operations of a client, without I/O. An operation is a generator of calls and pauses, and returns its answer.

The sync and the async client run the same operations, so that retries, waiting and resuming exist once. One file per
role.
"""
