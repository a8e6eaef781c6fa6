"""The answers are made after Salesforce's guide to sObject Collections."""

from typing import ClassVar, Literal

from tailrace.connector_kit.http import HttpResponse
from tailrace.core.rows import Operation
from tailrace.destinations.salesforce import API, MANIFEST
from tailrace.testing.fake_http import answer
from tailrace.testing.manifest_contract import ManifestContract
from tailrace.testing.samples import Sample

SETTINGS = {"domain": "acme", "client_id": "3MVG9", "client_secret": "made-up-secret"}
TOKEN = answer(200, {"access_token": "token-1", "instance_url": "https://own.my.salesforce.com"})
OWN = f"https://own.my.salesforce.com{API}"
ROWS = ({"Ext__c": "e1", "Name": "Ada"}, {"Ext__c": "e2", "Name": None, "Tags": ["a"], "At": {"b": 1}})
RECORDS = [
    {"attributes": {"type": "Account"}, "Ext__c": "e1", "Name": "Ada"},
    {"attributes": {"type": "Account"}, "Ext__c": "e2", "Name": None, "Tags": '["a"]', "At": '{"b":1}'},
]
OK = {"id": "001", "success": True, "errors": []}


def failed(code: str) -> dict[str, object]:
    return {"success": False, "errors": [{"statusCode": code, "message": "no", "fields": ["Name"]}]}


def upsert(told: HttpResponse, means: list[str] | str) -> Sample:
    return Sample(
        about=Operation.UPSERT,
        object_name="Account",
        key="Ext__c",
        rows=ROWS,
        answers=[TOKEN, told],
        means=means,
        asks=("PATCH", f"{OWN}/composite/sobjects/Account/Ext__c", {"allOrNone": False, "records": RECORDS}),
        shows={"Authorization": "Bearer token-1"},
        settings=SETTINGS,
    )


def by(about: Operation, method: str, key: str, told: list[object] | HttpResponse, means: list[str]) -> Sample:
    records = [{"attributes": {"type": "Account"}, key: "001", "Name": "Ada"}]
    return Sample(
        about=about,
        object_name="Account",
        key=key,
        rows=[{key: "001", "Name": "Ada"}],
        answers=[TOKEN, told if isinstance(told, HttpResponse) else answer(200, told)],
        means=means,
        asks=(method, f"{OWN}/composite/sobjects", {"allOrNone": False, "records": records}),
        settings=SETTINGS,
    )


def asked(
    about: Literal["check", "objects", "fields"], path: str, told: HttpResponse, means: list[str], *before: HttpResponse
) -> Sample:
    return Sample(
        about=about,
        object_name="Account",
        answers=[TOKEN, *before, told],
        means=means,
        asks=("GET", f"{OWN}{path}", None),
        settings=SETTINGS,
    )


def delete(found: list[dict[str, str]], *told: HttpResponse, means: list[str] | str, is_whole: bool = True) -> Sample:
    looks = f"{OWN}/query?q=SELECT+Id,Ext__c+FROM+Account+WHERE+Ext__c+IN+(%27e1%27,%27e%5C%27%3B2%27)"
    ids = ",".join(each["Id"] for each in found)
    deletes = ("DELETE", f"{OWN}/composite/sobjects?ids={ids}&allOrNone=false", None)
    return Sample(
        about=Operation.DELETE,
        object_name="Account",
        key="Ext__c",
        rows=[{"Ext__c": "e1"}, {"Ext__c": "e';2"}],
        answers=[TOKEN, answer(200, {"done": is_whole, "records": found}), *told],
        means=means,
        asks=deletes if told else ("GET", looks, None),
        settings=SETTINGS,
    )


FIRST, SECOND = {"Id": "001", "Ext__c": "E1"}, {"Id": "002", "Ext__c": "e';2"}
SOBJECTS = answer(200, {"sobjects": [{"name": "Account", "createable": True}, {"name": "Log", "createable": False}]})
DESCRIBED = answer(200, {"fields": [{"name": "Ext__c", "externalId": True, "updateable": True}, {"name": "Id"}]})
LIMITED = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "no"}]
USED_UP = {"sforce-limit-info": "api-usage=15000/15000"}


class TestSalesforceCollections(ManifestContract):
    manifest = MANIFEST
    # The address is the one that comes with the token; what is asserted for a token, a test of its own reads.
    unseen: ClassVar = ("base_url", "auth.ways.1")
    samples: ClassVar = (
        upsert(answer(200, [OK, OK]), ["delivered", "delivered"]),
        upsert(answer(200, [OK, failed("STRING_TOO_LONG")]), ["delivered", "rejected:STRING_TOO_LONG:Name"]),
        upsert(answer(200, [failed("UNABLE_TO_LOCK_ROW"), OK]), ["retry:UNABLE_TO_LOCK_ROW", "delivered"]),
        upsert(answer(200, [failed("DUPLICATE_VALUE"), OK]), ["rejected:ALREADY_EXISTS:Name", "delivered"]),
        upsert(answer(200, [failed("ENTITY_IS_DELETED"), OK]), ["rejected:NOT_FOUND:Name", "delivered"]),
        upsert(answer(200, [OK]), "IN_DOUBT"),
        upsert(answer(200, [OK, OK, OK]), "IN_DOUBT"),
        upsert(answer(200, {"success": True}), "IN_DOUBT"),
        upsert(answer(400, [{"errorCode": "UNABLE_TO_LOCK_ROW"}]), "DESTINATION_UNAVAILABLE"),
        upsert(answer(400, [{"errorCode": "INVALID_FIELD"}]), "DESTINATION_VALIDATION"),
        by(
            Operation.UPDATE,
            "PATCH",
            "Id",
            answer(400, [{"errorCode": "INVALID_FIELD", "message": "no", "fields": ["Name"]}]),
            ["rejected:INVALID_FIELD:Name"],
        ),
        Sample(
            about=Operation.UPDATE,
            object_name="Account",
            key="Ext__c",
            rows=ROWS[:1],
            answers=[TOKEN],
            means="DESTINATION_INVALID",
            settings=SETTINGS,
        ),
        upsert(answer(403, LIMITED, USED_UP), "RATE_LIMIT:600"),
        upsert(answer(403, LIMITED, {"retry-after": "5"}), "RATE_LIMIT:5"),
        upsert(answer(403, LIMITED), "RATE_LIMIT:30"),
        upsert(answer(403, [{"errorCode": "INSUFFICIENT_ACCESS"}]), "CREDENTIALS_REFUSED"),
        by(Operation.UPDATE, "PATCH", "Id", [OK], ["delivered"]),
        by(Operation.UPDATE, "PATCH", "Id", [failed("UNABLE_TO_LOCK_ROW")], ["retry:UNABLE_TO_LOCK_ROW"]),
        by(Operation.UPDATE, "PATCH", "Id", [failed("ENTITY_IS_DELETED")], ["rejected:NOT_FOUND:Name"]),
        by(Operation.UPDATE, "PATCH", "Id", [failed("DUPLICATE_VALUE")], ["rejected:ALREADY_EXISTS:Name"]),
        by(Operation.INSERT, "POST", "Ext__c", [OK], ["delivered"]),
        by(Operation.INSERT, "POST", "Ext__c", [failed("DUPLICATE_VALUE")], ["rejected:ALREADY_EXISTS:Name"]),
        by(Operation.INSERT, "POST", "Ext__c", [failed("UNABLE_TO_LOCK_ROW")], ["retry:UNABLE_TO_LOCK_ROW"]),
        by(Operation.INSERT, "POST", "Ext__c", [failed("ENTITY_IS_DELETED")], ["rejected:NOT_FOUND:Name"]),
        delete([], means=["delivered", "delivered"]),
        delete([FIRST], means="DESTINATION_VALIDATION", is_whole=False),
        delete([FIRST, SECOND], answer(200, [OK, OK]), means=["delivered", "delivered"]),
        delete([SECOND], answer(200, [OK]), means=["delivered", "delivered"]),
        delete([FIRST], answer(200, [failed("ENTITY_IS_DELETED")]), means=["delivered", "delivered"]),
        delete([FIRST], answer(200, [failed("NOT_FOUND")]), means=["delivered", "delivered"]),
        delete([FIRST], answer(200, [failed("UNABLE_TO_LOCK_ROW")]), means=["retry:UNABLE_TO_LOCK_ROW", "delivered"]),
        delete([FIRST], answer(200, [failed("DELETE_FAILED")]), means=["rejected:DELETE_FAILED:Name", "delivered"]),
        delete(
            [FIRST, {"Id": "003", "Ext__c": "e1"}],
            means=["rejected:AMBIGUOUS_KEY", "delivered"],
        ),
        asked("check", "/limits", answer(200, {}), []),
        asked("objects", "/sobjects", SOBJECTS, ["Account", "Log:read_only"]),
        asked("fields", "/sobjects/Account/describe", DESCRIBED, ["Ext__c:key", "Id:read_only"], SOBJECTS),
    )
