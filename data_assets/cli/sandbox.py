"""`data-assets sandbox`: serve the simulated vendors on their usual ports.

Here: serving. Not here: the servers (`sandbox`), and what the settings make of them (`wiring`).
"""

from __future__ import annotations

import importlib
from contextlib import ExitStack

import click

from data_assets.cli.line_breaks import say
from data_assets.cli.project import enter_project
from data_assets.sandbox.loopback import PortTaken, wait_for_interrupt
from data_assets.wiring import sandbox_bucket, sandbox_theta, sandbox_tws


def sandbox(theta_port: int, s3_port: int, tws_port: int) -> None:
    """Serve until Ctrl-C; port 0 picks one."""
    _require_the_extra()
    enter_project()
    try:
        with ExitStack() as stack:
            theta = stack.enter_context(sandbox_theta(theta_port))
            bucket = stack.enter_context(sandbox_bucket(s3_port))
            tws = stack.enter_context(sandbox_tws(tws_port))
            say(
                f"Theta Data: {theta.base_url}\n"
                f"  try: curl '{theta.base_url}/option/history/quote"
                "?symbol=QQQ&expiration=*&date=20240103&interval=1m' | head\n"
                f"Polygon flat files: {bucket.endpoint}, bucket flatfiles, any S3 keys\n"
                f"Interactive Brokers: {tws.host}:{tws.port}, any client id\n"
                "Ctrl-C ends it.",
                err=True,
            )
            wait_for_interrupt()
    except PortTaken as error:
        raise click.UsageError(str(error)) from error


def _require_the_extra() -> None:
    """Go on only if what the bucket is served with is installed; the other two need no more than the library does.

    Raises:
        click.UsageError: it is not; the text is the command that installs it.
    """
    try:
        importlib.import_module("data_assets.sandbox.flat_files.bucket")
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"`data-assets sandbox` needs more than the base install ({error.name} is missing): "
            "pip install 'data-assets[sandbox]'"
        ) from error
