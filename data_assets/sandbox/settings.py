"""The settings of the simulated vendors: how much data they hold, since when, and which faults they show.

Here: their variables. Not here: the variables of the project and of real vendors, and reading any of them
(``data_assets.settings``).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from data_assets.sandbox.faults import Fault
from data_assets.sandbox.flat_files.faults import FlatFileFault

AnyFault = Annotated[Fault | FlatFileFault, Field(discriminator="kind")]


class SandboxSettings(BaseSettings):
    """The `DATA_ASSETS_SANDBOX_*` variables."""

    sandbox_contracts: int = Field(
        default=250,
        ge=4,
        le=40_000,
        validation_alias="DATA_ASSETS_SANDBOX_CONTRACTS",
        description="option contracts per synthetic day, 4 to 40000 (250 give 100,000 rows, 6000 give 2.4 million)",
    )
    sandbox_first_day: date = Field(
        default=date(2016, 1, 4),
        validation_alias="DATA_ASSETS_SANDBOX_FIRST_DAY",
        description="YYYY-MM-DD: first day of which the simulated vendors have data",
    )
    sandbox_tickers: int = Field(
        default=60,
        ge=45,
        le=12_000,
        validation_alias="DATA_ASSETS_SANDBOX_TICKERS",
        description="tickers per synthetic flat file, 45 to 12000 (60 give 15,000 rows, 11500 give 1.8 million)",
    )
    sandbox_faults: tuple[AnyFault, ...] = Field(
        default=(),
        validation_alias="DATA_ASSETS_SANDBOX_FAULTS",
        description='JSON list of faults, such as [{"kind": "cut", "day": "2024-01-03", "times": 1}]',
    )
    sandbox_theta_tier: Literal["free", "value", "standard", "pro"] = Field(
        default="standard",
        validation_alias="DATA_ASSETS_SANDBOX_THETA_TIER",
        description="tier that the simulated Theta enforces: free, value, standard or pro",
    )
