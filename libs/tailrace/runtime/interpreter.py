"""What Python itself must be like for a service that faces a network."""

import gc
import os
import sys

from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from tailrace.core.errors import Invalid

_YOUNG = 50_000


def check_interpreter() -> None:
    """Refuse an interpreter without asserts or without aiohttp's C parser: each has opened holes before.

    :raises Invalid: with what to change.
    """
    if sys.flags.optimize:
        raise Invalid("unset PYTHONOPTIMIZE and leave out -O: libraries rely on assertions", code="INTERPRETER")
    if HttpRequestParser is HttpRequestParserPy and not os.environ.get("AIOHTTP_NO_EXTENSIONS"):
        raise Invalid("install an aiohttp wheel with its C extensions: the parser in Python is not hardened")


def collect_seldom() -> None:
    """Have Python look for cycles of garbage after so many objects: rows come and go by thousands and are in none."""
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


def spare_what_stays() -> None:
    """Have later collections leave out what there is now: to go through modules and models takes longer than a request.

    Only for a process of its own: garbage that is made of it later stays until `gc.unfreeze`.
    """
    gc.collect()
    gc.freeze()
    # A full collection waits until a quarter of what the last one met is new: let that one have met nothing.
    gc.collect()
