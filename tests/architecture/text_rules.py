"""What may stand in a file, whatever its language."""

import re
import tokenize
from collections.abc import Iterator
from io import StringIO

from tests.architecture.source import Module

_SILENCER = re.compile(r"noqa(?:: *[A-Z]+\d+(?:[, ]+[A-Z]+\d+)*)?|type: *ignore(?:\[[\w, -]+\])?")
_A_WORD = re.compile(r"[A-Za-z]{3}")

# Written in parts, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a path of somebody's machine": re.compile(r"(?:^|[^\w.$}])/(?:work|root|farm|home/\w+|Users/\w+)/"),
    "an option that names a package index": re.compile("--(?:extra-)?" + "index" + "-url|--find" + "-links"),
    "a package index": re.compile("files.python" + "hosted|pypi.org/" + "simple"),
    "a folder beside the repository": re.compile(r"\.\./" + "shared"),
}


def silenced_without_reason(module: Module) -> Iterator[str]:
    for token in tokenize.generate_tokens(StringIO(module.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        reason, silencers = _SILENCER.subn("", token.string)
        if silencers and not _A_WORD.search(reason):
            yield f"{token.start[0]}: {token.string.strip()!r} does not say why"


def forbidden_in(text: str) -> list[str]:
    """Each forbidden thing that the text holds, with its line."""
    return [
        f"{text.count(chr(10), 0, found.start()) + 1}: {what}"
        for what, pattern in FORBIDDEN.items()
        for found in pattern.finditer(text)
    ]
