"""A program that attaches and detaches: a line names the driver, the answer is how long it took."""

from __future__ import annotations

import json
import os
import sys
import time

from eais_client.context import ContextStore
from eais_client.pool_client import PoolClient


def main() -> int:
    """Until there are no more lines."""
    store = ContextStore.of_environ(os.environ)
    with PoolClient.of_context(store, store.current(os.environ)) as pool:
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            began = time.perf_counter()
            made = pool.attach(type="cpu.1", vnic=line.strip())
            took_s = time.perf_counter() - began
            pool.detach(made.id)
            # Until a worker waits to be adopted again: how fast one starts isn't asked here.
            time.sleep(float(os.environ.get("EAIS_TEST_PAUSE_S", "0")))
            print(json.dumps({"s": took_s, "driver": made.vnic.driver}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
