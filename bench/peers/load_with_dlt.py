"""The log read by dlt's source for REST APIs and recorded in SQLite, in the folder that is given."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import closing
from importlib.metadata import version

import dlt
from dlt.sources.rest_api import rest_api_source

url, folder = sys.argv[1:]
started = time.perf_counter()
pipeline = dlt.pipeline(
    "harbor",
    pipelines_dir=folder,
    destination=dlt.destinations.sqlalchemy(f"sqlite:///{folder}/state.db"),
    dataset_name="main",
)
source = rest_api_source(
    {
        "client": {
            "base_url": f"{url}/api/v2.0/",
            "auth": {"type": "http_basic", "username": "somebody", "password": "a-secret"},
            "paginator": "header_link",
        },
        "resources": [
            {"name": "audit", "endpoint": {"path": "auditlog-exts", "params": {"sort": "id", "page_size": 100}}}
        ],
    }
)
pipeline.run(source)
seconds = time.perf_counter() - started
with closing(sqlite3.connect(f"{folder}/state.db")) as database:
    rows = database.execute("SELECT count(DISTINCT id) FROM audit").fetchone()[0]
print(json.dumps({"rows": rows, "seconds": seconds, "version": version("dlt")}))
