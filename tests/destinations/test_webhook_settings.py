"""Settings of a webhook that would lead elsewhere, break a request in two, or fail only when rows come."""

from typing import Any

import pytest

from tailrace.connector_kit.registry import validate_settings
from tailrace.core.errors import Invalid
from tailrace.destinations.webhook import WebhookSettings

OAUTH = {"kind": "client_credentials", "token_url": "https://login.example.com/token"}
CLIENT = {"client_id": "c", "client_secret": "canary-of-a-client"}
JWT = {"kind": "jwt_bearer", "token_url": "https://login.example.com/token", "issuer": "us", "audience": "them"}
KEY = {"private_key": "canary-of-a-key"}
JOB = {"kind": "job", "id": "id", "get": "/jobs/{id}", "state": "state", "done": ["done"]}
IDS = {"kind": "looked_up", "each": "", "id": "own", "key": "id"}
HOSTILE_PATHS = [
    "nowhere",
    "x/people",
    "/people\r\nHost: evil.example",
    "/people\n",
    "/people x",
    "/people#part",
    "\\\\evil.example\\share",
    "/peo\u200bple",
]


def settings(asks: dict[str, Any] | None = None, **more: object) -> WebhookSettings:
    given = {"base_url": "https://api.example.com", "operations": {"upsert": {"path": "/", **(asks or {})}}}
    return validate_settings(WebhookSettings, given | more)


@pytest.mark.parametrize("path", HOSTILE_PATHS)
@pytest.mark.parametrize(
    "place", ["check", "path", "path_by_key", "objects", "fields", "ask", "create", "job", "results"]
)
def test_path_that_is_none_is_refused_wherever_it_stands(place: str, path: str) -> None:
    asked: dict[str, dict[str, Any]] = {
        "check": {"check": path},
        "path": {"asks": {"path": path}},
        "path_by_key": {"asks": {"path_by_key": {"id": path}}},
        "objects": {"objects": {"listing": {"path": path}}},
        "fields": {"fields_of_objects": {"listing": {"path": path}}},
        "ask": {"asks": {"key": IDS | {"ask": {"path": path}}}},
        "create": {"asks": {"key": IDS | {"ask": {"path": "/ids"}, "create": {"path": path}}}},
        "job": {"asks": {"attribution": JOB | {"get": path, "read": {"kind": "all_or_nothing"}}}},
        "results": {"asks": {"attribution": JOB | {"results": path, "read": {"kind": "all_or_nothing"}}}},
    }

    with pytest.raises(Invalid, match="must be a path like /v1/"):
        settings(**asked[place])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"auth": OAUTH | {"token_url": "http://evil.example/?https://login"}}, "must be https://"),
        ({"auth": OAUTH | {"token_url": "file:///etc/passwd#{client_id}"}}, "must be https://"),
        ({"auth": OAUTH | {"token_url": "https://login.example.com/ x"}}, "must be https://"),
        ({"auth": OAUTH | {"token_url": "https://x.example/{client_id:>999999999}"}}, "must be https://"),
        ({"auth": OAUTH | {"token_url": "https://x.example/{client_id.__class__}"}}, "must be https://"),
        ({"auth": OAUTH | {"token_url": "https://x.example/{tenant}"}}, "names a setting that there is not: tenant"),
        ({"auth": OAUTH | {"token_url": "https://x.example/{client_secret}"}}, "would show a secret: client_secret"),
        ({"auth": JWT | {"subject": "{user:>999999999}"}, "credentials": KEY}, "name of a setting"),
        ({"auth": JWT | {"subject": "{user}"}, "credentials": KEY}, "names a setting that there is not: user"),
        ({"auth": JWT | {"audience": "{private_key}"}, "credentials": KEY}, "would show a secret: private_key"),
    ],
)
def test_token_is_asked_for_at_no_other_place_and_with_no_other_words(more: dict[str, Any], told: str) -> None:
    with pytest.raises(Invalid, match=told) as refused:
        settings(**{"credentials": CLIENT, **more})

    assert "canary" not in refused.value.message


@pytest.mark.parametrize("header", ["Host", "content-length", "Transfer-Encoding", "X Key", "X-Key\r\nHost", "é"])
def test_key_is_shown_in_no_header_of_the_transport(header: str) -> None:
    with pytest.raises(Invalid, match="header"):
        settings(auth={"kind": "api_key", "header": header}, credentials={"api_key": "canary"})


@pytest.mark.parametrize("value", ["Token", "{api_key}\r\nX-More: 1", " {api_key}", "é {api_key}"])
def test_header_of_a_key_shows_the_key_on_one_line(value: str) -> None:
    with pytest.raises(Invalid, match="where the key stands"):
        settings(auth={"kind": "api_key", "header": "X-Key", "value": value}, credentials={"api_key": "canary"})


@pytest.mark.parametrize("header", ["", "X Reset", "X-Reset\n", "X-Reset: 1"])
@pytest.mark.parametrize("kind", ["reset_at", "reset_in", "used_of_most", "nothing_left"])
def test_header_that_tells_a_wait_has_a_name(kind: str, header: str) -> None:
    wait = {"then_s": 1} if kind in {"used_of_most", "nothing_left"} else {}

    with pytest.raises(Invalid, match=r"throttles\.0\..*header"):
        settings(throttles=[{"kind": kind, "header": header, **wait}])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"objects": {"listing": {"path": "/o"}, "prefix": "no prefix"}}, r"objects\.prefix"),
        ({"objects": {"listing": {"path": "/o", "cursor": "a=1&b"}}}, r"objects\.listing\.cursor"),
        (
            {"asks": {"attribution": {"kind": "keyed", "lists": [{"at": "a", "code": "no code", "message": ""}]}}},
            "code",
        ),
        ({"asks": {"key": IDS | {"ask": {"path": "/ids"}, "key": ". ."}}}, "names and positions"),
        ({"auth": {"kind": "basic", "names": ["A user", "p"]}, "credentials": {"p": "x"}}, "match pattern"),
    ],
)
def test_word_is_judged_as_a_whole(more: dict[str, Any], told: str) -> None:
    with pytest.raises(Invalid, match=told):
        settings(**more)


@pytest.mark.parametrize(
    "success", [{"at": "ok"}, {"holds": ["true"]}, {"exists": True}, {"statuses": [202], "at": "ok"}]
)
def test_success_that_cannot_be_judged_is_refused_with_the_settings(success: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=r"success: .*give both"):
        settings(success=success)


@pytest.mark.parametrize("name", ["base_url", "user"])
@pytest.mark.parametrize("place", ["path", "headers", "body", "row"])
def test_setting_does_not_fill_a_hole_of_a_webhook(name: str, place: str) -> None:
    hole = f"{{settings.{name}}}"
    asked: dict[str, dict[str, Any]] = {
        "path": {"path": f"/people?of={hole}"},
        "headers": {"headers": {"X-Of": hole}},
        "body": {"body": {"of": hole}, "rows_at": "rows"},
        "row": {"row": {"of": hole}},
    }
    basic = {"auth": {"kind": "basic"}, "credentials": {"user": "ada", "password": "canary"}}

    with pytest.raises(Invalid, match=r"\$settings is for manifests"):
        settings(asked[place], **basic, secret_path="/canary-of-a-path")
