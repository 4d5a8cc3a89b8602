"""Whether a request to S3 is signed with the right secret (AWS Signature Version 4).

Here: the check. Not here: what is answered to whom (`flat_files.bucket`).
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def signature_refusal(environ: WSGIEnvironment, access_key_id: str, secret: str) -> str | None:
    """What is wrong with a request that must be signed with ``secret``: the code of an S3 error, or None."""
    scheme, _, rest = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    scope = parts.get("Credential", "").split("/")
    if scheme != "AWS4-HMAC-SHA256" or len(scope) != 5 or not {"SignedHeaders", "Signature"} <= parts.keys():
        return "AccessDenied"
    if scope[0] != access_key_id:
        return "InvalidAccessKeyId"
    names = parts["SignedHeaders"].split(";")
    headers = {name: environ.get(f"HTTP_{name.upper().replace('-', '_')}", "") for name in names}
    request = AWSRequest(environ["REQUEST_METHOD"], f"http://{environ['HTTP_HOST']}{environ['REQUEST_URI']}", headers)
    request.context["timestamp"] = headers.get("x-amz-date", "")
    auth = S3SigV4Auth(Credentials(access_key_id, secret), scope[3], scope[2])
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return None if hmac.compare_digest(expected, parts["Signature"]) else "SignatureDoesNotMatch"
