"""`data-assets sandbox`: serve the simulated vendors on their usual ports.

Here: the command. Not here: the servers (`sandbox`).
"""

from __future__ import annotations

import click

from data_assets.cli.project import enter_project
from data_assets.sandbox.serving import THETA_PORT, SandboxTheta, serve_until_interrupted
from data_assets.settings import settings


@click.command(short_help="Serve the simulated vendors on their usual ports.")
@click.option(
    "--theta-port", default=THETA_PORT, show_default=True, help="Port of the Theta-compatible server; 0 picks one."
)
def sandbox(theta_port: int) -> None:
    """Serve synthetic data in the vendors' own protocols until Ctrl-C, for curl and any other client."""
    enter_project()
    theta = SandboxTheta(
        contracts=settings().sandbox_contracts,
        first_day=settings().sandbox_first_day,
        faults=settings().sandbox_faults,
        tier=settings().sandbox_theta_tier,
        port=theta_port,
    )
    serve_until_interrupted(
        theta,
        announce=lambda url: click.echo(
            f"Theta Data: {url}\n"
            f"  try: curl '{url}/option/history/quote?symbol=QQQ&expiration=*&date=20240103&interval=1m' | head\n"
            "Ctrl-C ends it.",
            err=True,
        ),
    )
