"""Texts that name something: kept as they are given, spaces too, and never of spaces alone."""

from typing import Annotated

from pydantic import AfterValidator, Field


def _require_more_than_spaces(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


NOT_BLANK = AfterValidator(_require_more_than_spaces)
Name = Annotated[str, Field(min_length=1, max_length=256), NOT_BLANK]
