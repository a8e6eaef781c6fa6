"""What people get wrong in a sync: a run tells of it in words that help, and once it is mended everything arrives."""

from collections.abc import Callable

import pytest
from aiohttp import web

from tailrace.embedded.ports import LOOPBACK, free_port
from tests.walks.people import PEOPLE, QUERY, People
from tests.walks.rows import NONE, compare
from tests.walks.syncs import Ended, SyncOwner

pytestmark = [pytest.mark.walk, pytest.mark.timeout(90)]

NOTHING: dict[str, int] = {}
EVERYTHING = {"read": PEOPLE, "delivered": PEOPLE}


async def a_run(sync: SyncOwner) -> Ended:
    return await sync.ended(await sync.start())


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        pytest.param("SELEC id, email FROM people", "SOURCE_QUERY", ["syntax error", "line 1"], id="syntax error"),
        pytest.param("SELECT id, email FROM persons", "SOURCE_QUERY", ["persons"], id="no such table"),
        pytest.param("SELECT *, email FROM people", "DUPLICATE_COLUMN", ["email", "with AS"], id="column twice"),
        pytest.param("DELETE FROM people RETURNING *", "SOURCE_QUERY", ["SELECT that only reads"], id="no query"),
        pytest.param("SELECT 1 AS id; DELETE FROM people", "SOURCE_QUERY", ["multiple commands"], id="two statements"),
    ],
)
async def test_query_that_cannot_work_sends_nothing(people: People, query: str, code: str, words: list[str]) -> None:
    sync = await people.sync(query=query)

    failed = await a_run(sync)
    await sync.change(sourceQuery=QUERY)
    mended = await a_run(sync)

    assert (failed.status, failed.accounts, failed.error_code) == ("failed", NOTHING, code)
    assert [word for word in words if word not in str(failed.error)] == []
    assert (mended.status, mended.accounts) == ("succeeded", EVERYTHING)
    assert compare(people.sink.rows(), await people.rows()) == NONE


async def test_mapping_that_names_no_column_is_refused_until_it_is_mended(people: People) -> None:
    sync = await people.sync()

    refused = await people.caller.put(f"/api/reverse-etl/syncs/{sync.id}", {"fieldMappings": people.mappings("e_mail")})
    ran = await a_run(sync)

    assert (refused.status, refused.json["errors"]) == (
        422,
        [
            {
                "pointer": "/fieldMappings/1/source",
                "code": "column",
                "detail": "the query has no column 'e_mail' (mapped to 'Email'); it has: id, email",
            }
        ],
    )
    assert (ran.status, ran.accounts) == ("succeeded", EVERYTHING)


async def test_column_that_is_renamed_later_fails_the_run_before_a_row_is_read(people: People) -> None:
    sync = await people.sync(query="SELECT * FROM people")
    await people.warehouse.execute("ALTER TABLE people RENAME email TO mail")

    failed = await a_run(sync)
    await people.warehouse.execute("ALTER TABLE people RENAME mail TO email")
    mended = await a_run(sync)

    assert (failed.status, failed.accounts, failed.error_code) == ("failed", NOTHING, "COLUMN_MISSING")
    assert failed.error == "the query has no column 'email' (mapped to 'Email'); it has: id, mail"
    assert (mended.status, mended.accounts) == ("succeeded", EVERYTHING)
    assert compare(people.sink.rows(), await people.rows()) == NONE


async def test_rows_without_a_key_of_their_own_become_dead_letters(people: People) -> None:
    await people.warehouse.execute("UPDATE people SET id = NULL WHERE id IN (3, 4)")
    await people.warehouse.execute("UPDATE people SET id = 7 WHERE id = 8")
    sync = await people.sync()

    first = await a_run(sync)
    letters = {letter["id"]: letter["attributes"] for letter in await sync.letters()}
    await people.warehouse.execute("UPDATE people SET id = substring(email FROM '[0-9]+')::int")
    mended = await a_run(sync)
    await sync.resolve(list(letters), "fixed_upstream")

    assert (first.status, first.accounts) == ("succeeded", {"read": PEOPLE, "delivered": PEOPLE - 3, "rejected": 3})
    assert sorted((letter["error_code"], letter["message"]) for letter in letters.values()) == [
        ("DUPLICATE_KEY", "an earlier row of the query has the same key: make the key unique"),
        ("NULL_KEY", "a key column is NULL: give every row of the query a key"),
        ("NULL_KEY", "a key column is NULL: give every row of the query a key"),
    ]
    assert "rejected" not in mended.accounts
    assert compare(people.sink.rows(), await people.rows()).lost == 0
    assert await sync.letters() == []


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        pytest.param("{host}:{closed}/people", "SOURCE_UNAVAILABLE", ["{host}:{closed}", "check"], id="nobody there"),
        pytest.param("nowhere.invalid:5432/people", "SOURCE_UNAVAILABLE", ["nowhere.invalid", "check"], id="no host"),
    ],
)
async def test_warehouse_that_cannot_be_reached_fails_the_run(
    people: People, address: str, code: str, words: list[str]
) -> None:
    known = {"host": LOOPBACK, "closed": free_port()}
    sync = await people.sync(source={"url": f"postgresql://reader:canary@{address.format(**known)}"})

    failed = await a_run(sync)
    await people.mend("sources", sync.source_id, people.source)
    mended = await a_run(sync)

    assert (failed.status, failed.accounts, failed.error_code) == ("failed", NOTHING, code)
    assert [word for word in words if word.format(**known) not in str(failed.error)] == []
    assert "canary" not in str(failed.error)
    assert (mended.status, mended.accounts) == ("succeeded", EVERYTHING)
    assert compare(people.sink.rows(), await people.rows()) == NONE


async def test_destination_that_cannot_be_reached_fails_the_run_and_buries_no_row(people: People) -> None:
    sync = await people.sync(destination={"url": f"http://{LOOPBACK}:{free_port()}/rows"})

    failed = await a_run(sync)
    buried = await sync.letters()
    await people.mend("destinations", sync.destination_id, people.sink.settings)
    mended = await a_run(sync)

    assert (failed.status, failed.accounts, failed.error_code) == ("failed", NOTHING, "DESTINATION_UNAVAILABLE")
    assert "check the address" in str(failed.error)
    assert buried == []
    assert (mended.status, mended.accounts) == ("succeeded", EVERYTHING)
    assert compare(people.sink.rows(), await people.rows()) == NONE


def _denied() -> web.Response:
    return web.json_response({"error": "token expired"}, status=401)


def _moved() -> web.Response:
    return web.Response(status=308, headers={"Location": "https://elsewhere.invalid/rows"})


def _login_page() -> web.Response:
    return web.Response(text="<html>Please log in</html>", content_type="text/html")


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        pytest.param(_denied, "CREDENTIALS_REFUSED", "put valid ones into its settings", id="401"),
        pytest.param(_moved, "DESTINATION_INVALID", "set the address it names", id="redirect"),
        pytest.param(
            _login_page, "DESTINATION_UNAVAILABLE", "is there a login or a proxy before the destination?", id="HTML"
        ),
    ],
)
async def test_answer_that_speaks_of_no_row_fails_the_run_and_buries_no_row(
    people: People, answer: Callable[[], web.Response], code: str, words: str
) -> None:
    sync = await people.sync()
    people.sink.answer = answer

    failed = await a_run(sync)
    buried = await sync.letters()
    people.sink.answer = None
    mended = await a_run(sync)

    assert (failed.status, failed.accounts, failed.error_code) == ("failed", NOTHING, code)
    assert words in str(failed.error)
    assert buried == []
    assert (mended.status, mended.accounts) == ("succeeded", EVERYTHING)
    assert compare(people.sink.rows(), await people.rows()) == NONE


async def test_letters_of_rows_that_a_destination_refused_lose_nothing_while_they_wait(people: People) -> None:
    sync = await people.sync()
    people.sink.refuses = lambda row: row["Id"] <= 5

    first = await a_run(sync)
    letters = await sync.letters()
    again = await a_run(sync)
    people.sink.refuses = lambda _row: False
    replayed = await sync.ended(await sync.replay([letter["id"] for letter in letters]))

    assert first.accounts == {"read": PEOPLE, "delivered": PEOPLE - 5, "rejected": 5}
    assert again.accounts == {"read": PEOPLE, "skipped": PEOPLE}
    assert (replayed.status, replayed.accounts) == ("succeeded", {"read": 5, "delivered": 5})
    assert compare(people.sink.rows(), await people.rows()) == NONE
