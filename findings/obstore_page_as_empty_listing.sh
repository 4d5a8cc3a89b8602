#!/usr/bin/env bash
# obstore 0.12.1 takes a web page for the listing of an empty bucket.
#
# One would guess: a body that is no ListBucketResult is an error, whatever its status says.
# Seen: a server that answers 200 and a sign-in page in HTML (a guest network, a proxy that wants a login) to a listing
# of an S3 bucket makes obstore's list() end without an object and without an error.
# Who is hurt: whoever concludes from a listing that a vendor has no file of a day: every day behind such a network
# looks like a day without data. A HEAD or GET of a key that must exist tells the difference.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1
cd "$folder"
env/bin/python - <<'PYTHON'
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

from obstore.exceptions import BaseError
from obstore.store import S3Store

PAGE = b"<html><head><title>Sign in</title></head><body><p>Accept the terms to use this network.</p></body></html>"


class SignIn(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), SignIn)
threading.Thread(target=server.serve_forever, daemon=True).start()
store = S3Store(
    "flatfiles",
    endpoint=f"http://127.0.0.1:{server.server_port}",
    access_key_id="key",
    secret_access_key="secret",
    region="us-east-1",
    client_options={"allow_http": True},
    retry_config={"max_retries": 0},
)
try:
    found = [each["path"] for chunk in store.list("2024/01") for each in chunk]
except BaseError as error:
    print(f"obstore {version('obstore')}: {type(error).__name__}: this has changed")
    sys.exit(1)
print(f"obstore {version('obstore')}: a listing answered by a web page holds {found}, and no error")
sys.exit(found != [])
PYTHON
