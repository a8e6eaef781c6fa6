from collections import Counter
from decimal import Decimal

import aiohttp
import pytest

from tailrace.embedded.demo_crm import INVALID_EMAIL, REQUIRED_FIELD_MISSING, open_crm
from tailrace.embedded.demo_customers import ROWS, Customer, first_customers, later_customers
from tailrace.embedded.demo_expected import Expected, contact_of

GOOD = contact_of(Customer(1, "ada@example.com", "Ada Kim", "free", Decimal("19.90"), "CH"))


def test_customers_are_the_same_every_time() -> None:
    assert first_customers() == first_customers()
    assert later_customers(first_customers()) == later_customers(first_customers())


def test_two_in_a_hundred_customers_are_bad() -> None:
    books = Expected().run(first_customers())

    assert (books.read, books.rejected, books.skipped) == (ROWS, 200, 0)
    assert books.reasons == {
        "rejected.INVALID_EMAIL": 80,
        "rejected.REQUIRED_FIELD_MISSING": 60,
        "rejected.NULL_KEY": 30,
        "rejected.DUPLICATE_KEY": 30,
    }


def test_later_customers_hold_every_kind_of_change() -> None:
    expected = Expected()
    expected.run(first_customers())

    books = expected.run(later_customers(first_customers()))

    assert (books.read, books.delivered, books.removed) == (ROWS - 40 + 25, 250 + 25 + 20, 40)
    assert books.reasons["skipped.STILL_DEAD"] == 140 - 20
    assert books.reasons["rejected.INVALID_EMAIL"] == 5
    assert books.read == books.delivered + books.skipped + books.rejected


def test_key_is_there_twice_only_with_the_same_content() -> None:
    customers = [customer for customer in first_customers() if customer.id is not None]
    times = Counter(customer.id for customer in customers)

    assert [key for key, count in Counter(set(customers)).items() if count > 1] == []
    assert sum(count - 1 for count in times.values()) == len(customers) - len(set(customers)) == 30


def test_nothing_is_sent_twice_for_the_same_customers() -> None:
    expected = Expected()
    expected.run(first_customers())

    again = expected.run(first_customers())

    assert (again.delivered, again.removed) == (0, 0)


@pytest.mark.parametrize(
    ("spoilt", "code"),
    [({"email": "ada at example.com"}, INVALID_EMAIL), ({"name": None}, REQUIRED_FIELD_MISSING)],
    ids=["malformed email", "no name"],
)
async def test_crm_refuses_the_bad_row_alone(spoilt: dict[str, object], code: str) -> None:
    async with open_crm() as crm, aiohttp.ClientSession(crm.url) as session:
        rows = [GOOD, {**GOOD, "external_id": 2, **spoilt}, {**GOOD, "external_id": 3}]
        batch = {"object": "contacts", "operation": "upsert", "rows": rows}

        response = await session.post("/contacts/batch", json=batch, headers={"Authorization": f"Bearer {crm.token}"})

        results = (await response.json())["results"]
        assert [result["status"] for result in results] == ["ok", "rejected", "ok"]
        assert results[1]["code"] == code
        assert set(crm.contacts) == {"1", "3"}


async def test_crm_refuses_a_stranger() -> None:
    async with open_crm() as crm, aiohttp.ClientSession(crm.url) as session:
        response = await session.post("/contacts/batch", json={})

        assert response.status == 401


async def test_crm_refuses_a_batch_that_is_too_long() -> None:
    async with open_crm() as crm, aiohttp.ClientSession(crm.url) as session:
        batch = {"object": "contacts", "operation": "upsert", "rows": [GOOD] * 1001}

        response = await session.post("/contacts/batch", json=batch, headers={"Authorization": f"Bearer {crm.token}"})

        assert response.status == 422
        assert crm.contacts == {}
