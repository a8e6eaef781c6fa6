"""What Snowflake's driver raises, as errors of ours: https://docs.snowflake.com/en/user-guide/key-pair-auth-troubleshooting."""

from collections.abc import Iterator
from contextlib import contextmanager

from tailrace.connector_kit.warehouse import TOO_SLOW
from tailrace.core.errors import CredentialsRefused, SourceInvalid, SourceUnavailable, TailraceError

try:
    from snowflake.connector.errors import Error, ForbiddenError
except ImportError as error:
    raise ImportError("the driver for Snowflake is not installed: pip install 'tailrace[snowflake]'") from error


_AUTHENTICATION = frozenset({"28000"})
_NOT_LET_IN = range(390_100, 390_110)
_JWT_REFUSED = frozenset({390_144, *range(394_300, 394_400)})
_TOKEN_REFUSED = range(394_400, 394_500)
_NETWORK_POLICY = frozenset({390_420, 390_422})
_NAMED_WRONGLY = frozenset({390_189, 390_201})
_NO_ACCOUNT = frozenset({290_403, 290_404})
_CUT_OFF = frozenset({630, 631})
_STOPPED = 604
_NO_WAREHOUSE = 606
_NO_PLACE = range(90_105, 90_110)
_QUERY_STATES = ("42", "02", "0A")
_ABOUT_A_VALUE = range(100_000, 101_000)
_MANY_STATEMENTS = 8


@contextmanager
def signing_in() -> Iterator[None]:
    """Tell why the account lets nobody in; nothing of the credentials comes along."""
    try:
        yield
    except Error as error:
        raise _at_the_door(error) from None
    except OSError as error:
        raise SourceUnavailable(f"Snowflake does not answer: {type(error).__name__}") from None


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours; no word of a row comes along."""
    try:
        yield
    except Error as error:
        # The words of an error about a value hold the value, and a traceback would show them.
        raise classified(error) from None
    except OSError as error:
        raise SourceUnavailable(f"the warehouse does not answer: {type(error).__name__}") from None


def classified(error: Error) -> TailraceError:
    """An error of a statement."""
    number, state, words = error.errno, error.sqlstate or "", error.raw_msg
    if number in _CUT_OFF:
        return SourceUnavailable(TOO_SLOW, code="SOURCE_TIMEOUT")
    if number == _STOPPED:
        return SourceUnavailable(f"the query was stopped in Snowflake, or {TOO_SLOW}", code="SOURCE_TIMEOUT")
    if number == _NO_WAREHOUSE:
        return SourceInvalid("no warehouse computes the query: name one in `warehouse` that the role may use")
    if number in _ABOUT_A_VALUE or (state.startswith("22") and number not in _NO_PLACE):
        return SourceInvalid(f"the query fails on a value of a row (error {number:06d})", code="SOURCE_QUERY")
    if number in _NO_PLACE or number == _MANY_STATEMENTS or state.startswith(_QUERY_STATES):
        return SourceInvalid(f"the warehouse refuses the query: {words}", code="SOURCE_QUERY")
    return SourceUnavailable(f"the warehouse cannot answer now (error {number:06d})")


def _at_the_door(error: Error) -> TailraceError:
    number = error.errno
    if number in _NETWORK_POLICY:
        return CredentialsRefused("a network policy of the account does not let this address in")
    if number in _JWT_REFUSED:
        return CredentialsRefused("Snowflake refused the key: is its public half set as RSA_PUBLIC_KEY of the user?")
    if number in _NOT_LET_IN or number in _TOKEN_REFUSED or error.sqlstate in _AUTHENTICATION:
        return CredentialsRefused("Snowflake refused the user, or the token or password")
    if number in _NO_ACCOUNT or isinstance(error, ForbiddenError):
        return SourceInvalid("no account of Snowflake answers by that name: check `account` and `domain`")
    if number in _NAMED_WRONGLY:
        return SourceInvalid("the user may not use the role, warehouse, database or schema, or there is none so named")
    return SourceUnavailable(f"Snowflake does not let us in now (error {number:06d}): check the network and `account`")
