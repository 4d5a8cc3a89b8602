"""The process that plays the vendor for a large day by expiration: `python -m benchmarks.spx_process FOLDER`.

Here: a list and bodies that lie in a folder, sent as they are from the kernel, so that the server costs the measured
process next to nothing. Not here: how they got there (`spx_inputs`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from aiohttp import web

from benchmarks.spx_inputs import LISTED, body_name


def application(folder: Path) -> web.Application:
    async def quotes(request: web.Request) -> web.FileResponse:
        return web.FileResponse(folder / body_name(request.query["symbol"], request.query["expiration"]))

    async def contracts(request: web.Request) -> web.FileResponse:
        return web.FileResponse(folder / LISTED)

    app = web.Application()
    app.router.add_get("/v3/option/history/quote", quotes)
    app.router.add_get("/v3/option/list/contracts/quote", contracts)
    return app


if __name__ == "__main__":
    web.run_app(application(Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), print=None)
