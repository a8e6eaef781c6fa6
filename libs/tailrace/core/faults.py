"""What pydantic says of a value, in our words alone."""

from pydantic_core import ErrorDetails


def said(found: ErrorDetails) -> str:
    """The message, without the word that pydantic puts before one of ours."""
    return found["msg"].removeprefix("Value error, ")
