"""Addresses of servers and buckets: taken apart without repeating them, and refused where a secret stands in them.

Messages show addresses, and every file keeps its source's. A password in one may well hold what ends the part of the
address that it stands in: of `s3://key:ab/cd@bucket` the slash makes a path of `cd@bucket`, and of the rest a bucket.

Here: what any address may not hold. Not here: which setting takes which kind (`settings`), and Amazon's own variables
(`lake.storage`).
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def parts_of(address: str) -> SplitResult:
    """Take an address apart.

    Raises:
        ValueError: it is none; the text does not repeat it, as Python's own would.
    """
    try:
        return urlsplit(address)
    except ValueError:
        raise ValueError("must be a URL, without brackets or unusual characters in its host") from None


def refuse_secrets(address: str, instead: str) -> SplitResult:
    """Take apart an address that is to hold no user, no password, and nothing after a question mark or a number sign.

    Args:
        address: of a server or a bucket.
        instead: where such things belong, words to go after a colon.

    Raises:
        ValueError: it holds one, or is no address.
    """
    parts = parts_of(address)
    if "@" in address or (parts.scheme == "s3" and ":" in parts.netloc):
        raise ValueError(f"must not hold a user or password: {instead}")
    if parts.query or parts.fragment:
        raise ValueError(f"must not hold a query or a fragment: {instead}")
    return parts
