"""Typed settings, read once from the environment and from `.env`.

Here: every environment variable the project knows, its type, its default and what it accepts; those of the simulated
vendors are in `sandbox.settings`. Not here: what a dataset is (its `defs.yaml`), Dagster's own settings
(`dagster.yaml`), and which project this is (`project`).

A bad value, an unknown `DATA_ASSETS_*` variable, or a misspelt one of a vendor or an alert stops the start with a
`SettingsError` that names the variable and what it accepts.
"""

from __future__ import annotations

import difflib
import os
import shlex
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from data_assets.addresses import parts_of, refuse_secrets
from data_assets.project import ENV_FILE, PROJECT, STATE, SettingsError, project_folder, read_env_file
from data_assets.sandbox.settings import SandboxSettings

PREFIXES = ("THETA_", "POLYGON_", "IB_", "ALERT_")
"""Of variables that may belong to other programs too: one that is nearly a known one is taken for a misspelling."""


_POLYGON_KEYS = "set POLYGON_ACCESS_KEY_ID and POLYGON_SECRET_ACCESS_KEY"


def _http_url(value: str) -> str:
    parts = parts_of(value)
    if parts.query or parts.fragment:
        raise ValueError("must be a URL without a query or a fragment")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if "@" in parts.path:  # the rest of a password with a slash in it
        raise ValueError("must not hold an @ after its host: write %2F for a slash in a user or password")
    try:
        parts.port  # noqa: B018  reading it is what checks it
    except ValueError:
        raise ValueError("must be a URL whose port is a number from 0 to 65535") from None
    return value.rstrip("/")


def _s3_endpoint(value: str) -> str:
    refuse_secrets(value, _POLYGON_KEYS)
    return _http_url(value)


def _host(value: str) -> str:
    if (":" in value and not _is_ipv6(value)) or "@" in value or "/" in value:  # it is shown in messages
        raise ValueError("must be a host alone, such as 127.0.0.1, without a scheme, user, password, port or path")
    return value


def _is_ipv6(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _lake_url(value: str) -> str:
    if "://" in value:
        refuse_secrets(value, "set the AWS_* variables")
    if "://" in value and not value.startswith("s3://"):
        raise ValueError("must be a folder or an s3://bucket/prefix URL")
    if not value.strip():
        raise ValueError("must be a folder or an s3://bucket/prefix URL, not empty")
    return value


def _flat_files_url(value: str) -> str:
    if not value.startswith("file:"):
        refuse_secrets(value, _POLYGON_KEYS)
    parts = parts_of(value)
    if (parts.scheme == "s3" and parts.netloc) or (parts.scheme == "file" and not parts.netloc and parts.path):
        return value.rstrip("/")
    raise ValueError("must be s3://bucket, s3://bucket/prefix or file:///folder")


def _webhook(value: SecretStr) -> SecretStr:
    parts = parts_of(value.get_secret_value())
    if value.get_secret_value() and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("must be an http:// or https:// URL")
    return value


def _command(value: SecretStr) -> SecretStr:
    try:
        words = shlex.split(value.get_secret_value())
    except ValueError:
        raise ValueError("must be a program and its arguments; a quotation mark is not closed") from None
    if value.get_secret_value() and not words:
        raise ValueError("must be a program and its arguments")
    return value


def _vendors(value: str) -> str:
    named = [vendor.strip() for vendor in value.split(",")]
    if not all(vendor.isidentifier() for vendor in named):
        raise ValueError("must be first parts of dataset keys, such as polygon or theta,ib")
    return ",".join(named)


def _tickers(value: str) -> str:
    named = [ticker.strip() for ticker in value.split(",")]
    if "all" in named and len(named) > 1:
        raise ValueError("names tickers beside all: it must be all alone, or tickers separated by commas")
    if not all(named) or any(not ticker.isprintable() or "/" in ticker or " " in ticker for ticker in named):
        raise ValueError("must be all, or tickers separated by commas")
    return ",".join(named)


class Settings(SandboxSettings):
    """All settings of one process.

    Attributes carry the variable's name as their alias; `lake_url` is `data_lake` resolved for the profile.
    """

    model_config = SettingsConfigDict(env_file_encoding="utf-8", extra="ignore", frozen=True, hide_input_in_errors=True)

    profile: Literal["sandbox", "live"] = Field(
        default="sandbox",
        validation_alias="DATA_ASSETS_PROFILE",
        description="sandbox: simulated vendors and synthetic data; live: your own subscriptions",
    )
    lake: Annotated[str, AfterValidator(_lake_url)] | None = Field(
        default=None,
        validation_alias="DATA_ASSETS_LAKE",
        description="folder or s3://bucket/prefix of the lake; default: lake/<profile> in the project",
    )
    project: str | None = Field(
        default=None,
        validation_alias=PROJECT,
        description="folder of the project; default: the nearest project folder upwards, then DAGSTER_HOME. It cannot "
        "stand in .env, because .env is read from this folder",
    )
    state: str | None = Field(
        default=None,
        validation_alias=STATE,
        description="folder for the run history, the vendor clients' memory and caches; default: .state in the project",
    )

    automation: Literal["on", "off"] | None = Field(
        default=None,
        validation_alias="DATA_ASSETS_AUTOMATION",
        description="on or off: whether days are asked for by themselves while the daemon runs; default: on in the "
        "live profile, off in the sandbox. A sensor that was switched in the UI stays as it is there",
    )

    vendors: Annotated[str, AfterValidator(_vendors)] | None = Field(
        default=None,
        validation_alias="DATA_ASSETS_VENDORS",
        description="vendors whose datasets this machine serves, separated by commas: theta, polygon, ib, or another "
        "first part of dataset keys; default: all of the project's",
    )

    theta_base_url: Annotated[str, AfterValidator(_http_url)] = Field(
        default="http://127.0.0.1:25503/v3",
        validation_alias="THETA_BASE_URL",
        description="address of the Theta Terminal; always spell the host the same way (127.0.0.1 or localhost), "
        "because the terminal refuses requests that spell it differently",
    )
    theta_max_concurrent_requests: int = Field(
        default=4,
        ge=1,
        le=16,
        validation_alias="THETA_MAX_CONCURRENT_REQUESTS",
        description="most requests in flight at once, 1 to 16: your tier's limit (Value 2, Standard 4, Pro 8)",
    )

    polygon_flat_files_url: Annotated[str, AfterValidator(_flat_files_url)] = Field(
        default="s3://flatfiles",
        validation_alias="POLYGON_FLAT_FILES_URL",
        description="s3://bucket of the vendor's flat files, or file:///folder of a mirror that uses the same keys",
    )
    polygon_s3_endpoint: Annotated[str, AfterValidator(_s3_endpoint)] = Field(
        default="https://files.massive.com",
        validation_alias="POLYGON_S3_ENDPOINT",
        description="the vendor's S3 endpoint; https://files.polygon.io is its former name",
    )
    polygon_s3_region: str = Field(
        default="us-east-1",
        pattern=r"^[a-z0-9-]+$",
        validation_alias="POLYGON_S3_REGION",
        description="region that requests are signed for: the region of your own bucket; the vendor accepts any",
    )
    polygon_access_key_id: str = Field(
        default="",
        repr=False,
        validation_alias="POLYGON_ACCESS_KEY_ID",
        description="S3 access key id, from the flat files page of your dashboard",
    )
    polygon_secret_access_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="POLYGON_SECRET_ACCESS_KEY",
        description="S3 secret that belongs to the access key id; not the API key",
    )
    polygon_cache_folder: Path | None = Field(
        default=None,
        validation_alias="POLYGON_CACHE_FOLDER",
        description="folder of the vendor's files; machines may share one, if the locks of its file system hold "
        "over machines, as those of NFS 4; default: in the lake, or beside the run history if the lake is in a bucket",
    )
    polygon_cache_bytes: ByteSize = Field(
        default=ByteSize(100_000_000_000),
        validation_alias="POLYGON_CACHE_BYTES",
        description="most that the vendor's files may take on this disk: a size such as 100GB or 1.5TB, or bytes; the "
        "least recently used are deleted first",
    )
    polygon_tickers: Annotated[str, AfterValidator(_tickers)] | None = Field(
        default=None,
        validation_alias="POLYGON_TICKERS",
        description="all, or tickers separated by commas; replaces the tickers in defs.yaml",
    )

    ib_host: Annotated[str, AfterValidator(_host)] = Field(
        default="127.0.0.1",
        min_length=1,
        validation_alias="IB_HOST",
        description="host on which TWS or IB Gateway runs",
    )
    ib_port: int = Field(
        default=4001,
        ge=1,
        le=65535,
        validation_alias="IB_PORT",
        description="its API port: Gateway 4001 (live) or 4002 (paper), TWS 7496 (live) or 7497 (paper)",
    )
    ib_client_id: int = Field(
        default=27,
        ge=0,
        le=999_999,
        validation_alias="IB_CLIENT_ID",
        description="number that no other client of this TWS or Gateway uses",
    )
    ib_seconds_between_requests: float = Field(
        default=10.0,
        ge=0,
        le=600,
        validation_alias="IB_SECONDS_BETWEEN_REQUESTS",
        description="seconds between two requests for history, 0 to 600; IB states no number for bars of a minute or "
        "more, but slows down clients that ask too fast",
    )
    ib_max_requests_per_10_min: int = Field(
        default=60,
        ge=1,
        le=10_000,
        validation_alias="IB_MAX_REQUESTS_PER_10_MIN",
        description="most requests for history in any ten minutes; 60 is IB's limit for bars of 30 seconds or less",
    )

    alert_webhook_url: Annotated[SecretStr, AfterValidator(_webhook)] = Field(
        default=SecretStr(""),
        validation_alias="ALERT_WEBHOOK_URL",
        description="web hook that takes one JSON message per run that failed, or whose days failed a check, as "
        "Slack's incoming web hooks do",
    )
    alert_command: Annotated[SecretStr, AfterValidator(_command)] = Field(
        default=SecretStr(""),
        validation_alias="ALERT_COMMAND",
        description="program that gets the message of a failed run on its standard input, with its arguments",
    )

    log_bytes: ByteSize = Field(
        default=ByteSize(50_000_000),
        ge=1_000,
        validation_alias="DATA_ASSETS_LOG_BYTES",
        description="size, such as 50MB, at which a day's log goes on in another file",
    )
    log_days: int = Field(
        default=30, ge=1, validation_alias="DATA_ASSETS_LOG_DAYS", description="days after which logs are deleted"
    )

    @property
    def asks_by_itself(self) -> bool:
        """Whether the sensors that ask for days are on unless switched in the UI."""
        return (self.automation or ("on" if self.profile == "live" else "off")) == "on"

    @property
    def served_vendors(self) -> frozenset[str]:
        """The vendors that this process serves; none named means all."""
        return frozenset(self.vendors.split(",")) if self.vendors else frozenset()

    @property
    def lake_url(self) -> str:
        """The lake's folder (absolute) or object-store URL; by default each profile has its own.

        A relative folder is resolved against the project's.
        """
        if self.lake is not None and "://" in self.lake:
            return self.lake
        return str(project_folder() / Path(self.lake or f"lake/{self.profile}").expanduser())


def known_variables() -> dict[str, str]:
    """Every variable's name and what it accepts."""
    return {str(field.validation_alias): field.description or "" for field in Settings.model_fields.values()}


def _refuse_unknown(names: set[str]) -> None:
    known = known_variables()
    for name in sorted(names - known.keys()):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if name.startswith("DATA_ASSETS_"):
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(known))}"
            raise SettingsError(f"{name} is not a setting of data_assets{hint}")
        if name.startswith(PREFIXES) and near:
            raise SettingsError(f"{name} is not a setting of data_assets; did you mean {near[0]}?")


def read_settings() -> Settings:
    """Read and check the settings of this process.

    Raises:
        SettingsError: a variable is wrong (the text names it and what it accepts), `.env` is not a text file, or there
            is no project.
    """
    folder = project_folder()
    in_file = read_env_file(folder)
    if in_file.get(PROJECT):
        raise SettingsError(
            f"{PROJECT}: is set in {folder / ENV_FILE}, which is read only once the project is known; set it in the "
            "environment instead"
        )
    _refuse_unknown({name.upper() for name in (*os.environ, *in_file)})
    try:
        return Settings(_env_file=folder / ENV_FILE)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"][1:])
        raise SettingsError(f"{name}{where}: {first['msg']}. It accepts: {known_variables().get(name, '')}") from None
    except ValueError as error:  # a variable whose JSON does not parse: pydantic-settings raises its own SettingsError
        name = next((n for n, f in Settings.model_fields.items() if f'"{n}"' in str(error)), "")
        alias = str(Settings.model_fields[name].validation_alias) if name else str(error)
        raise SettingsError(f"{alias}: is not valid JSON. It accepts: {known_variables().get(alias, '')}") from None


@cache
def settings() -> Settings:
    """The settings of this process, read at the first call."""
    return read_settings()
