"""What the gateway shows without a token: the API's document, and a page to read it and try it."""

from functools import cache
from pathlib import Path

import orjson
from aiohttp import hdrs, web
from swagger_ui_bundle import swagger_ui_path

from tailrace_gateway.openapi import openapi

_FOLDER = Path(swagger_ui_path)
# With `nosniff` the type decides, so that it must not depend on what the machine thinks of file names.
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
# Names are relative, so that the page also works behind a proxy that serves it under a path.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tailrace API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
</head>
<body>
<div id="api"></div>
<noscript>This page needs JavaScript; <a href="openapi.json">the document itself</a> does not.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
});
"""
# Swagger UI sets styles of its own and draws arrows from data: in its style sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FRESH = "no-cache"
_A_DAY = "public, max-age=86400"


def add_docs(app: web.Application) -> None:
    """Serve the document under `/openapi.json` and the page under `/docs`, to anybody."""
    app.router.add_get("/openapi.json", _document)
    app.router.add_get("/docs", _page)
    app.router.add_get("/docs/start.js", _start)
    for name in _ASSETS:
        app.router.add_get(f"/docs/{name}", _asset)


async def _document(_request: web.Request) -> web.Response:
    return web.Response(body=_document_bytes(), content_type="application/json", headers={hdrs.CACHE_CONTROL: _FRESH})


@cache
def _document_bytes() -> bytes:
    return orjson.dumps(openapi())


async def _page(_request: web.Request) -> web.Response:
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", hdrs.CACHE_CONTROL: _FRESH}
    return web.Response(text=_PAGE, content_type="text/html", charset="utf-8", headers=headers)


async def _start(_request: web.Request) -> web.Response:
    return web.Response(text=_START, content_type="text/javascript", charset="utf-8")


async def _asset(request: web.Request) -> web.FileResponse:
    """One of the few that are routed to; no name of a file comes from the request."""
    name = request.path.rpartition("/")[2]
    headers = {hdrs.CONTENT_TYPE: _ASSETS[name], hdrs.CACHE_CONTROL: _A_DAY}
    return web.FileResponse(_FOLDER / name, headers=headers)
