"""The process that plays the vendor: `python -m benchmarks.theta_process CONTRACTS CSV BYTES_PER_SECOND`.

Here: the sandbox's server with the settings that cost it least. Not here: who starts and ends it (`inputs`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.inputs import SYMBOL
from data_assets.sandbox.loopback import wait_for_interrupt
from data_assets.sandbox.serving import SandboxTheta


def serve(contracts: str, csv: str, bytes_per_second: str) -> None:
    """Say the base URL, and serve until SIGTERM; an empty argument stands for none."""
    theta = SandboxTheta(
        contracts=int(contracts),
        symbols=[SYMBOL],
        tier="pro",
        body_file=Path(csv) if csv else None,
        # With a length, a file goes out from the kernel; a chain that is made, or a pace, goes out as it comes.
        framing="content-length" if csv and not bytes_per_second else "chunked",
        bytes_per_second=float(bytes_per_second) if bytes_per_second else None,
        says_synthetic=False,  # what is measured runs in the live profile, whose vendor is another process
    )
    with theta:
        print(theta.base_url, flush=True)
        wait_for_interrupt()


if __name__ == "__main__":
    serve(*sys.argv[1:])
