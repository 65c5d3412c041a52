"""The log read and decoded by harborapi, and no more than that."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from importlib.metadata import version

from harborapi import HarborAsyncClient


async def fetched(url: str) -> int:
    client = HarborAsyncClient(url=f"{url}/api/v2.0", username="somebody", secret="a-secret")
    return len(await client.get_audit_logs(sort="id", page_size=100))


started = time.perf_counter()
rows = asyncio.run(fetched(sys.argv[1]))
seconds = time.perf_counter() - started
print(json.dumps({"rows": rows, "seconds": seconds, "version": version("harborapi")}))
