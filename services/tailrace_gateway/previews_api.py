"""RudderStack's contract: a look at the rows of a query before anything is made of it."""

from tailrace.core.errors import InDoubt, Invalid, Unavailable
from tailrace.store.connections import ConnectionKind, StoredConnection
from tailrace.store.database import Connection
from tailrace.store.previews import Preview
from tailrace.store.tokens import Role
from tailrace_gateway.calls import V2, Answer, Call, Change, Route
from tailrace_gateway.models import NoBody, NoQuery
from tailrace_gateway.recording import in_transaction
from tailrace_gateway.repeats import once_outside
from tailrace_gateway.retl_answers import PreviewAnswer, PreviewStarted, preview_view
from tailrace_gateway.retl_bodies import PreviewQuery

_PREVIEWS = "/retl-sources/preview"


async def start_preview(call: Call[PreviewQuery, NoQuery]) -> Answer:
    """Run a query, within half a minute, and keep its first rows for a quarter of an hour."""
    body, workspace_id = call.body, call.identity.workspace_id
    account = await call.stores.connections.get(workspace_id, body.account_id, kind=ConnectionKind.SOURCE)

    async def act() -> Answer:
        preview = await _preview(call, account)

        async def keep(connection: Connection) -> Answer:
            preview_id = await call.stores.within(connection).previews.keep(workspace_id, preview)
            asked = {"accountId": account.id, "sql": body.sql, "limit": body.limit}
            return Answer({"id": preview_id}, change=Change(preview_id, None, asked))

        return await in_transaction(call, keep)

    return await once_outside(call, act)


async def get_preview(call: Call[NoBody, NoQuery]) -> Answer:
    """The rows of a preview, or why there are none."""
    return Answer(preview_view(await call.stores.previews.get(call.identity.workspace_id, call.path["preview_id"])))


PREVIEWS = (
    Route(
        "POST",
        _PREVIEWS,
        Role.EDITOR,
        start_preview,
        "Look at the rows of a query",
        operation_id="startPreview",
        answer=PreviewStarted,
        body=PreviewQuery,
        prefixes=V2,
    ),
    Route(
        "GET",
        f"{_PREVIEWS}/{{preview_id}}",
        Role.EDITOR,
        get_preview,
        "Get the rows of a preview",
        operation_id="getPreview",
        answer=PreviewAnswer,
        prefixes=V2,
    ),
)


async def _preview(call: Call[PreviewQuery, NoQuery], account: StoredConnection) -> Preview:
    try:
        return Preview(await call.stores.discovery.first_rows(account, call.body.sql, limit=call.body.limit))
    except (Invalid, Unavailable, InDoubt) as error:
        return Preview([], error.message)
