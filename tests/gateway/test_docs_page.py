"""The page that shows the API: all of it from here, nothing from elsewhere."""

import re

import pytest

from tests.gateway.conftest import Gateway

_LINK = re.compile(r'(?:src|href)="([^"]+)"')


@pytest.fixture
def linked() -> tuple[str, ...]:
    return (
        "docs/swagger-ui.css",
        "docs/favicon-32x32.png",
        "openapi.json",
        "docs/swagger-ui-bundle.js",
        "docs/start.js",
    )


async def test_page_links_only_to_its_own_files(gateway: Gateway, linked: tuple[str, ...]) -> None:
    async with gateway.session.get(gateway.url + "/docs") as got:
        page = await got.text()

    assert (got.status, got.content_type) == (200, "text/html")
    assert tuple(_LINK.findall(page)) == linked
    assert "script-src 'self';" in got.headers["Content-Security-Policy"]
    assert got.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "content_type", "held"),
    [
        ("swagger-ui-bundle.js", "text/javascript", b"SwaggerUIBundle"),
        ("swagger-ui.css", "text/css", b".swagger-ui"),
        ("favicon-32x32.png", "image/png", b"PNG"),
        ("start.js", "text/javascript", b"validatorUrl: null"),
    ],
)
async def test_file_of_the_page_is_served_to_anybody(
    gateway: Gateway, name: str, content_type: str, held: bytes
) -> None:
    async with gateway.session.get(f"{gateway.url}/docs/{name}") as got:
        body = await got.read()

    assert (got.status, got.content_type) == (200, content_type)
    assert held in body


@pytest.mark.parametrize("path", ["/docs/index.html", "/docs/..%2f__init__.py", "/docs/swagger-ui.js", "/docs/"])
async def test_no_other_file_is_served(gateway: Gateway, path: str) -> None:
    async with gateway.session.get(gateway.url + path) as got:
        refused = await got.json(content_type="application/problem+json")

    assert (got.status, refused["code"]) == (404, "NOT_FOUND")
