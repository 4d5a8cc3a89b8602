"""`data-assets sandbox`: serve the simulated vendors on their usual ports.

Here: the command. Not here: the servers (`sandbox`), and what the settings make of them (`wiring`).
"""

from __future__ import annotations

import click

from data_assets.cli.project import enter_project
from data_assets.sandbox.loopback import PortTaken
from data_assets.sandbox.serving import THETA_PORT, serve_until_interrupted
from data_assets.wiring import sandbox_theta


@click.command()
@click.option(
    "--theta-port",
    type=click.IntRange(0, 65535),
    default=THETA_PORT,
    show_default=True,
    help="Port of the Theta-compatible server; 0 picks one.",
)
def sandbox(theta_port: int) -> None:
    """Serve synthetic data in the vendors' own protocols until Ctrl-C, for curl and any other client."""
    enter_project()
    try:
        serve_until_interrupted(sandbox_theta(theta_port), _announce)
    except PortTaken as error:
        raise click.UsageError(str(error)) from error


def _announce(url: str) -> None:
    click.echo(
        f"Theta Data: {url}\n"
        f"  try: curl '{url}/option/history/quote?symbol=QQQ&expiration=*&date=20240103&interval=1m' | head\n"
        "Ctrl-C ends it.",
        err=True,
    )
