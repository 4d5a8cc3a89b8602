"""Listing a bucket in which somebody left a key that obstore cannot say, such as ``theta//data.parquet``.

A key with an empty segment, one of dots alone or a control character is no name in a lake, and other tools make them by
accident. At the first such key obstore ends the listing, and what stands beside it in the answer is lost. So that
listing is asked for once more by a client that takes keys for what they are; the odd ones are passed over, and named.

Here: that listing. Not here: every other one (``patient_store``).
"""

from __future__ import annotations

import logging
import os
import re
from typing import Any, TypedDict

import botocore.session  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

_ODD = re.compile(r"(?:^|/)(?:\.{0,2})(?:/|$)|[\x00-\x1f\x7f]")
_NAMED = 5
ATTEMPTS = 10
"""How often a page of the listing is asked for: over some minutes, as long as everything else of the store."""

logger = logging.getLogger(__name__)


class Listed(TypedDict):
    """What a listing says of an object."""

    path: str
    e_tag: str | None


def list_past_odd_keys(
    bucket: str, root: str, folder: str | None, after: str | None, until: str | None
) -> list[Listed]:
    """The objects below a folder in the order of their names; odd keys are left out and named in a warning.

    Credentials, region and endpoint are those of the ``AWS_*`` variables.

    Args:
        bucket: the bucket.
        root: the prefix that names are relative to, without a slash at its end; empty for the whole bucket.
        folder: where to look; None for all of the root.
        after: the name before the first.
        until: the name to stop at.

    Raises:
        OSError: the store does not answer, or refuses; the text is what was said.
    """
    start = f"{root}/" if root else ""
    asked: dict[str, Any] = {"Bucket": bucket, "Prefix": f"{start}{folder}/" if folder else start}
    if after:
        asked["StartAfter"] = start + after
    found: list[Listed] = []
    odd: list[str] = []
    last = ""
    try:
        while True:  # a store may say that there is more and not where, and botocore takes that for the end
            ended_at = last
            for page in _client().get_paginator("list_objects_v2").paginate(**asked):
                objects = [(item["Key"][len(start) :], item.get("ETag")) for item in page.get("Contents", [])]
                objects = [(name, e_tag) for name, e_tag in objects if name]  # some tools make an object of the folder
                odd += [name for name, _ in objects if _is_odd(name)]
                found += [Listed(path=name, e_tag=e_tag) for name, e_tag in objects if not _is_odd(name)]
                last = objects[-1][0] if objects else last
                if until is not None and last > until:
                    break
            if last == ended_at or (until is not None and last > until):
                break
            asked["StartAfter"] = start + last
    except Exception as error:  # botocore's errors have no root but this
        raise OSError(f"listing {bucket}: {error}") from error
    if odd:
        shown = ", ".join(repr(f"s3://{bucket}/{start}{name}") for name in odd[:_NAMED])
        more = f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
        logger.warning("%s%s: not a valid name for a file of the lake; skipped, remove it from the bucket", shown, more)
    return found


def _is_odd(name: str) -> bool:
    return _ODD.search(name.removesuffix("/")) is not None


def _client() -> Any:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    patient = Config(retries={"mode": "standard", "total_max_attempts": ATTEMPTS})
    return botocore.session.get_session().create_client("s3", region_name=region, config=patient)
