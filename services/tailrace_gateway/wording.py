"""What pydantic finds wrong, in words that say what to send instead."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from tailrace.core.faults import said

_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "needs a member {discriminator}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "too_short": "must have at least {min_length} item(s)",
    "too_long": "must have at most {max_length} items",
    "datetime_parsing": "must be a date and time such as 2026-01-31T12:00:00Z",
    "datetime_from_date_parsing": "must be a date and time such as 2026-01-31T12:00:00Z",
}


def worded(found: ErrorDetails) -> str:
    """One fault, without anything of what was sent."""
    context: Mapping[str, Any] = found.get("ctx", {})
    if found["type"] == "value_error":
        return said(found)
    words = _WORDS.get(found["type"])
    return found["msg"] if words is None else words.format_map(context)
