"""A connector's file, loaded on its own, as somebody who writes one has it."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from tailrace.connector_kit.destination import Destination
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.lines import Problem, last_line, problems_in
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.core.errors import Invalid

WHOLE = "the file"


class Unloadable(Invalid):
    """A file that holds no connector that could be tried; says why, by line."""

    def __init__(self, path: Path, *problems: Problem) -> None:
        super().__init__(f"{path} cannot be loaded: {problems[0].what}")
        self.problems = problems


def load(path: Path) -> type[Destination]:
    """The destination of a file; by its manifest, if it has one.

    :raises Unloadable: with what is wrong, by line.
    """
    module = _module(path)
    held = list(vars(module).values())
    classes = [each for each in held if isinstance(each, type) and issubclass(each, Destination)]
    own = [each for each in classes if each.__module__ == module.__name__]
    manifests = [destination_of(each) for each in held if isinstance(each, Manifest)]
    for destination in (*own, *manifests):
        return destination
    raise Unloadable(path, Problem(1, WHOLE, "it holds neither a Manifest nor a subclass of Destination"))


def _module(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise Unloadable(path, Problem(1, WHOLE, "there is no such Python file"))
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        raise Unloadable(path, *problems_in(path, error)) from None
    except SyntaxError as error:
        raise Unloadable(path, Problem(error.lineno or 1, WHOLE, error.msg)) from error
    except (ImportError, AttributeError, NameError, TypeError, ValueError) as error:
        raise Unloadable(path, Problem(last_line(path, error), WHOLE, f"{type(error).__name__}: {error}")) from error
    return module
