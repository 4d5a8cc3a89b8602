"""A real S3 endpoint on loopback, and a lake on each kind of storage.

The endpoint is moto's, which forgives much; `make test-cluster` runs the same tests on Ceph's.
"""

import os
import tempfile
import threading
import uuid
from contextlib import contextmanager

import boto3
import pytest
from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.test import run_wsgi_app

from data_assets.sandbox.loopback import HOST
from data_assets.sandbox.wsgi_server import WsgiServer
from data_assets_tests.cluster.ceph import asked_of, ceph

CLUSTER = "TEST_CLUSTER"
_REAL = "TEST_S3_ENDPOINT"


def s3_app():
    """S3 as an application, so that a test can stand before it: moto's, or what asks the real server."""
    endpoint = os.environ.get(_REAL)
    if endpoint is None:
        return create_backend_app("s3")

    def ask(environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, headers, answer = asked_of(endpoint, environ, body)
        kept = [(name, value) for name, value in headers if name.lower() not in {"connection", "transfer-encoding"}]
        start_response(status, kept)
        return [answer]

    return ask


@contextmanager
def s3_server(refusal=lambda _environ: None, app=None):
    """S3 as Amazon serves it: of writers that forbid to replace an object, one wins. moto looks first, then writes.

    Args:
        refusal: given a request's environment, returns the status line with which it is refused, or None.
        app: the store itself; `s3_app` by default.
    """
    app = app or s3_app()
    one_at_a_time = threading.Lock()

    def serve(environ, start_response):
        with one_at_a_time:
            if status := refusal(environ):
                start_response(status, [("content-length", "0")])
                return []
            pieces, status, headers = run_wsgi_app(app, environ, buffered=True)
        start_response(status, list(headers))
        return pieces

    with WsgiServer(serve) as server:
        yield f"http://{HOST}:{server.port}"


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory):
    """Refuses nothing."""
    if not os.environ.get(CLUSTER):
        with s3_server() as endpoint:
            yield endpoint
        return
    with ceph(tmp_path_factory.mktemp("s3") / "ceph") as endpoint, pytest.MonkeyPatch.context() as environment:
        environment.setenv(_REAL, endpoint)
        yield endpoint


@pytest.fixture(scope="module")
def s3_environment(s3_endpoint):
    """The environment that belongs to the endpoint.

    Not set for each test anew: a variable that is added moves all of them, while native threads that an earlier test
    has left read them, without a lock. One that is there and gets another value moves nothing.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ENDPOINT_URL": s3_endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            environment.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
            environment.delenv(name, raising=False)
        yield


@pytest.fixture
def bucket_url(s3_environment, monkeypatch, tmp_path):
    """The URL of an empty lake in a new bucket, and the staging folder that belongs to it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "staging"))
    name = f"lake-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}/some/prefix"


@pytest.fixture(params=["folder", "bucket"])
def lake_url(request, tmp_path):
    """The address of an empty lake, once in a folder and once in a bucket."""
    return str(tmp_path / "lake") if request.param == "folder" else request.getfixturevalue("bucket_url")
