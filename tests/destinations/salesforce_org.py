"""An organisation of Salesforce in memory: tokens, describe, collections, jobs; each call is remembered."""

import csv
import json
from io import StringIO
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tailrace.connector_kit.http import HttpClient, HttpRequest, HttpResponse
from tailrace.testing.fake_http import Answer, answer

API = "/services/data/v62.0"
FIELDS = [
    {"name": "Id", "label": "Id", "type": "id", "externalId": False, "updateable": False},
    {"name": "Ext__c", "label": "Ext", "type": "string", "externalId": True, "updateable": True},
    {"name": "Name", "label": "Name", "type": "string", "externalId": False, "updateable": True},
    {"name": "CreatedDate", "label": "Created", "type": "datetime", "externalId": False, "updateable": False},
]


class Org(HttpClient):
    """Accounts by their external id; refuses those named Mallory, in collections and in jobs."""

    def __init__(self) -> None:
        self.accounts: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.takes_bytes: dict[str, int] = {}
        self.forms: list[dict[str, list[str]]] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.looks_until_done = 0
        self.overrides: dict[tuple[str, str], list[Answer]] = {}
        self.token = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        path = urlsplit(request.url).path
        if path == "/services/oauth2/token":
            self.token += 1
            self.forms.append(parse_qs(request.body.decode()))
            return answer(200, {"access_token": f"token-{self.token}", "instance_url": "https://own.my.salesforce.com"})
        assert request.url.startswith("https://own.my.salesforce.com")
        assert request.headers["Authorization"] == f"Bearer token-{self.token}"
        call = (request.method, path.removeprefix(API))
        self.calls.append(call)
        self.takes_bytes[path.rpartition("/")[2]] = request.takes_bytes
        told = self.overrides.get(call, [])
        given = told.pop(0) if told else None
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, HttpResponse) else self._answer(call, request)

    def override(self, method: str, path: str, *told: Answer) -> None:
        """Give these answers first to such calls."""
        self.overrides[method, path] = list(told)

    def _answer(self, call: tuple[str, str], request: HttpRequest) -> HttpResponse:
        match call:
            case ("GET", "/limits"):
                return answer(200, {"DailyApiRequests": {"Max": 15000, "Remaining": 14000}})
            case ("GET", "/sobjects"):
                accounts = {"name": "Account", "labelPlural": "Accounts", "createable": True}
                return answer(200, {"sobjects": [accounts, {"name": "AccountHistory", "createable": False}]})
            case ("GET", "/sobjects/Account/describe"):
                return answer(200, {"fields": FIELDS})
            case ("PATCH", "/composite/sobjects/Account/Ext__c"):
                body = json.loads(request.body)
                assert body["allOrNone"] is False
                return answer(200, [self._upsert(record) for record in body["records"]])
        asked = parse_qs(urlsplit(request.url).query)
        return self._by_id(asked) if asked else self._job(call, request)

    def _by_id(self, asked: dict[str, list[str]]) -> HttpResponse:
        if "q" in asked:
            return answer(200, {"done": True, "records": self._found(asked["q"][0])})
        ids = asked["ids"][0].split(",")
        assert len(ids) <= 200
        return answer(200, [self._delete(id_) for id_ in ids])

    def _found(self, query: str) -> list[dict[str, str]]:
        head, _, listed = query.partition(" IN ")
        assert head == "SELECT Id,Ext__c FROM Account WHERE Ext__c"
        keys = [key.strip("'") for key in listed.strip("()").split(",")]
        return [{"Id": f"id-{key}", "Ext__c": key} for key in keys if key in self.accounts]

    def _delete(self, id_: str) -> dict[str, Any]:
        del self.accounts[id_.removeprefix("id-")]
        return {"id": id_, "success": True, "errors": []}

    def _upsert(self, record: dict[str, Any]) -> dict[str, Any]:
        assert record.pop("attributes") == {"type": "Account"}
        if record.get("Name") == "Mallory":
            error = {"statusCode": "INVALID_NAME", "message": "not this one", "fields": ["Name"]}
            return {"success": False, "errors": [error]}
        self.accounts.setdefault(record["Ext__c"], {}).update(record)
        return {"id": "001", "success": True, "created": True, "errors": []}

    def _job(self, call: tuple[str, str], request: HttpRequest) -> HttpResponse:
        method, path = call
        job_id, _, part = unquote(path).removeprefix("/jobs/ingest").strip("/").partition("/")
        match method, part:
            case "POST", _:
                job_id = f"750{len(self.jobs)}"
                self.jobs[job_id] = {"wanted": json.loads(request.body), "state": "Open", "csv": "", "looks": 0}
                return answer(200, {"id": job_id, "state": "Open"})
            case "PUT", "batches":
                assert request.headers["Content-Type"] == "text/csv"
                self.jobs[job_id]["csv"] = request.body.decode()
                return answer(201)
            case "PATCH", _:
                assert json.loads(request.body) == {"state": "UploadComplete"}
                self._work(self.jobs[job_id])
                return answer(200, {"id": job_id, "state": "UploadComplete"})
            case "GET", "":
                return answer(200, self._state(self.jobs[job_id]))
        assert request.headers["Accept"] == "text/csv"
        return answer(200, self.jobs[job_id][part].encode())

    def _state(self, job: dict[str, Any]) -> dict[str, Any]:
        job["looks"] += 1
        is_done = job["state"] == "JobComplete" and job["looks"] > self.looks_until_done
        counts = {name: job.get(name, 0) for name in ("numberRecordsProcessed", "numberRecordsFailed")}
        return {"state": "JobComplete" if is_done else "Open" if job["state"] == "Open" else "InProgress", **counts}

    def _work(self, job: dict[str, Any]) -> None:
        rows = list(csv.DictReader(StringIO(job["csv"], newline="")))
        names = list(rows[0])
        if job["wanted"]["operation"] == "delete":
            assert names == ["Id"]
            failed, why = [row for row in rows if not self._is_deleted(row["Id"])], "ENTITY_IS_DELETED:gone:--"
        else:
            failed, why = [row for row in rows if row["Name"] == "Mallory"], "INVALID_NAME:not this one:Name --"
            self._take([row for row in rows if row not in failed])
        told = [{"sf__Id": "", "sf__Error": why, **row} for row in reversed(failed)]
        job |= {"state": "JobComplete", "numberRecordsProcessed": len(rows), "numberRecordsFailed": len(failed)}
        job |= {"failedResults": table(["sf__Id", "sf__Error", *names], told), "unprocessedrecords": table(names, [])}

    def _take(self, rows: list[dict[str, str]]) -> None:
        for row in rows:
            said = {name: None if value == "#N/A" else value for name, value in row.items() if value}
            self.accounts[row["Ext__c"]] = {**self.accounts.get(row["Ext__c"], {}), **said}

    def _is_deleted(self, id_: str) -> bool:
        return self.accounts.pop(id_.removeprefix("id-"), None) is not None


def table(names: list[str], rows: list[dict[str, str]]) -> str:
    text = StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
