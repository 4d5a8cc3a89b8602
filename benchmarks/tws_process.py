"""The process that plays TWS: `python -m benchmarks.tws_process`.

Here: the sandbox's server without limits, and as a real account's. Not here: who starts and ends it (`ib_days`).
"""

from __future__ import annotations

from data_assets.sandbox.loopback import wait_for_interrupt
from data_assets.sandbox.tws.serving import SandboxTws


def serve() -> None:
    """Say the port, and serve until SIGTERM."""
    with SandboxTws(pacing_scale=0, says_synthetic=False) as tws:
        print(tws.port, flush=True)
        wait_for_interrupt()


if __name__ == "__main__":
    serve()
