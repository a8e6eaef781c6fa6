"""What MySQL's driver raises, as errors of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from tailrace.connector_kit.warehouse import TOO_SLOW
from tailrace.core.errors import CredentialsRefused, SourceInvalid, SourceUnavailable, TailraceError

try:
    from pymysql.constants import CR, ER
    from pymysql.err import MySQLError
except ImportError as error:
    raise ImportError("the driver for MySQL is not installed: pip install 'tailrace[mysql]'") from error

_TIMEOUTS = frozenset({1969, 3024})
_REFUSED = frozenset({ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, 1698})
_QUERY_CODES = frozenset(
    {
        *(ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR),
        *(ER.PARSE_ERROR, ER.NO_SUCH_TABLE, ER.BAD_FIELD_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.SP_DOES_NOT_EXIST),
        *(ER.COLUMNACCESS_DENIED_ERROR, ER.NON_UNIQ_ERROR, ER.BAD_DB_ERROR, ER.WRONG_FIELD_WITH_GROUP, 1295, 1792),
        *(ER.WRONG_COLUMN_NAME, ER.UNKNOWN_TABLE, 1630, 1222, 1241, 1582, 4078),
    }
)
_VALUE_CODES = frozenset({1264, 1265, 1292, 1365, 1366, 1411, 1690, 3140, 3141, 4038, ER.SUBQUERY_NO_1_ROW})


@contextmanager
def let_in() -> Iterator[None]:
    """Tell a refused login; later, the same error speaks of the query."""
    try:
        yield
    except MySQLError as error:
        if error.args and error.args[0] in _REFUSED:
            raise CredentialsRefused("the warehouse refused user or password") from None
        raise


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours; no word of a row comes along."""
    try:
        yield
    except MySQLError as error:
        # The words of an error about a value hold the value, and a traceback would show them.
        raise _classified(error) from None
    except (OSError, TimeoutError) as error:
        raise SourceUnavailable(f"the warehouse does not answer: {type(error).__name__}") from error


def _classified(error: MySQLError) -> TailraceError:
    code, words = (*error.args, 0, "")[:2] if error.args else (0, "")
    if code == ER.DUP_FIELDNAME:
        return SourceInvalid(f"{words} in the query: give each column its own name with AS", code="DUPLICATE_COLUMN")
    if code in _QUERY_CODES:
        return SourceInvalid(f"the warehouse refuses the query: {words}", code="SOURCE_QUERY")
    if code in _VALUE_CODES:
        return SourceInvalid(f"the query fails on a value of a row (error {code})", code="SOURCE_QUERY")
    return _outage(code)


def _outage(code: int) -> SourceUnavailable:
    if code in _TIMEOUTS:
        return SourceUnavailable(TOO_SLOW, code="SOURCE_TIMEOUT")
    if code == CR.CR_CONN_HOST_ERROR:
        return SourceUnavailable("no MySQL or MariaDB answers there: check the source's address and network")
    return SourceUnavailable(f"the warehouse cannot answer now (error {code})")
