"""What the client checks share: nothing leaves the machine, steps are told, a failed check ends the run."""

import asyncio
import os
import sys
import time
from decimal import Decimal

LOOPBACK = {"127.0.0.1", "localhost", "::1", None}
START = time.time()

for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
    os.environ.pop(name.lower(), None)


def _audit(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in LOOPBACK:
        raise RuntimeError(f"connection to foreign host {args[1]}")
    if event == "socket.getaddrinfo" and args[0] not in LOOPBACK:
        raise RuntimeError(f"lookup of foreign host {args[0]}")


sys.addaudithook(_audit)


class Fail(Exception):
    """A check that does not hold."""


def step(text):
    print(f"[{time.time() - START:6.2f}s] {text}", flush=True)


def check(holds, text):
    if not holds:
        raise Fail(text)


def on_grid(value, size, mode):
    """The multiple of a step size next to a value."""
    size = Decimal(str(size))
    return (Decimal(str(value)) / size).to_integral_value(mode) * size


async def until(holds, what, tasks=(), patience=10.0):
    """Waits for a value that is true; a task that ends meanwhile is a failure."""
    end = time.time() + patience
    while time.time() < end:
        for task in tasks:
            if task.done():
                raise Fail(f"a watcher ended while waiting for {what}: {task.exception()!r}")
        value = holds()
        if value:
            return value
        await asyncio.sleep(0.02)
    raise Fail(f"waited {patience} s for {what}")


def run(main, complaints=()):
    """Runs a check within a minute; `complaints` are what the client library logged by itself."""
    try:
        asyncio.run(asyncio.wait_for(main, 60))
        check(not complaints, "the library complained:\n  " + "\n  ".join(complaints))
        failure = None
    except Exception as e:  # noqa: BLE001 - whatever ends the run is the verdict
        failure = f"{type(e).__name__}: {e}"
    print(f"FAILED {failure}" if failure else "OK", flush=True)
    # Libraries leave threads behind that would hold the process.
    os._exit(1 if failure else 0)
