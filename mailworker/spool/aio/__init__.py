"""The way to the spool for event loops, on `redis.asyncio`; what is said there, and what it means, is shared with `spool`."""
