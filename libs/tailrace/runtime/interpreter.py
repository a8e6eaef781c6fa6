"""What Python itself must be like for a service that faces a network."""

import os
import sys

from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from tailrace.core.errors import Invalid


def check_interpreter() -> None:
    """Refuse an interpreter without asserts or without aiohttp's C parser: each has opened holes before.

    :raises Invalid: with what to change.
    """
    if sys.flags.optimize:
        raise Invalid("unset PYTHONOPTIMIZE and leave out -O: libraries rely on assertions", code="INTERPRETER")
    if HttpRequestParser is HttpRequestParserPy and not os.environ.get("AIOHTTP_NO_EXTENSIONS"):
        raise Invalid("install an aiohttp wheel with its C extensions: the parser in Python is not hardened")
