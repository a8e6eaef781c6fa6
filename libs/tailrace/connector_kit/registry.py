"""Finds connectors by name: the built-in ones are modules, third parties add entry points.

A connector is a class, or a manifest. Its name and that of its module (or entry point) are the same word. Nothing is
imported before somebody asks for it, so that a broken third party breaks nobody else. What is installed is looked
through once per process: a package that is added later is found after a restart.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import cleandoc
from pkgutil import ModuleInfo, iter_modules
from types import ModuleType
from typing import Any, Literal, TypeVar

import structlog
from pydantic import BaseModel, SecretStr, ValidationError

from tailrace.connector_kit.capabilities import Capability, capabilities_of
from tailrace.connector_kit.destination import Destination, Level
from tailrace.connector_kit.manifest.engine import destination_of
from tailrace.connector_kit.manifest.model import Manifest
from tailrace.connector_kit.warehouse import Warehouse
from tailrace.core.errors import Invalid
from tailrace.core.faults import said

Kind = Literal["destination", "warehouse"]
Settings = TypeVar("Settings", bound=BaseModel)

_Connector = TypeVar("_Connector", Destination, Warehouse)
_PACKAGES: Mapping[Kind, str] = {"destination": "tailrace.destinations", "warehouse": "tailrace.warehouses"}
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entry:
    """A connector for the catalogue; a form can be drawn from `settings_schema` (JSON Schema)."""

    kind: Kind
    name: str
    label: str
    level: Level
    verified_against: str
    settings_schema: Mapping[str, Any]
    secret_fields: frozenset[str]
    capabilities: frozenset[Capability] = frozenset()


def destination_type(name: str) -> type[Destination]:
    """The destination of that name.

    :raises Invalid: there is none, or it cannot be loaded.
    """
    return _find(name, "destination", Destination)  # type: ignore[type-abstract]  # only compared with


def warehouse_type(name: str) -> type[Warehouse]:
    """The warehouse of that name.

    :raises Invalid: there is none, or it cannot be loaded.
    """
    return _find(name, "warehouse", Warehouse)  # type: ignore[type-abstract]  # only compared with


def names(kind: Kind) -> Sequence[str]:
    """The names of all connectors of a kind, in order, loaded or not."""
    return sorted(_origins(kind))


def built_in(kind: Kind) -> Sequence[str]:
    """The names of those that come with Tailrace, in order."""
    return sorted(module.name for module in _modules(kind))


def about(kind: Kind, name: str) -> str:
    """What the module of one that comes with Tailrace says of it to its users."""
    return cleandoc(import_module(f"{_PACKAGES[kind]}.{name}").__doc__ or "")


def catalogue() -> Sequence[Entry]:
    """Every connector that can be loaded and described, by kind and name; one that cannot is logged."""
    found: list[Entry] = []
    for kind, find in _FINDERS.items():
        for name in names(kind):
            try:
                found.append(_entry(kind, find(name)))
            except Exception as error:  # noqa: BLE001 - one that cannot be described must not hide the others
                _log.warning("connector.load_failed", connector=name, error=str(error))
    return found


def validate_settings(settings_type: type[Settings], raw: Mapping[str, object]) -> Settings:
    """The settings as the connector wants them.

    :raises Invalid: naming each field and what is wrong with it, never its value.
    """
    try:
        return settings_type.model_validate(raw)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
    # Outside the handler: pydantic's error holds the values, and a traceback would show them.
    told = ((".".join(map(str, problem["loc"])), said(problem)) for problem in problems)
    raise Invalid("; ".join(f"{place}: {what}" if place else what for place, what in told))


def secret_fields(settings_type: type[BaseModel]) -> frozenset[str]:
    """The top-level fields whose type holds a `SecretStr` anywhere: sealed at rest, never shown again."""
    return frozenset(name for name, field in settings_type.model_fields.items() if _holds_secret(field.annotation))


_FINDERS: Mapping[Kind, Callable[[str], type[Destination] | type[Warehouse]]] = {
    "destination": destination_type,
    "warehouse": warehouse_type,
}


def _find(name: str, kind: Kind, wanted: type[_Connector]) -> type[_Connector]:
    origins = _origins(kind).get(name)
    if origins is None:
        raise Invalid(f"there is no {kind} {name!r}; there are {', '.join(names(kind))}")
    if len(origins) > 1:
        raise Invalid(f"the {kind} {name!r} is offered several times: {', '.join(map(_told, origins))}")
    return _load(name, origins[0], wanted)


def _origins(kind: Kind) -> Mapping[str, Sequence[EntryPoint]]:
    """Where each name comes from, a built-in module as if it were an entry point."""
    return _scanned(kind, tuple(sys.path))


@lru_cache(maxsize=8)
def _scanned(kind: Kind, _path: tuple[str, ...]) -> Mapping[str, Sequence[EntryPoint]]:
    group = _PACKAGES[kind]
    found: dict[str, list[EntryPoint]] = {}
    for module in _modules(kind):
        found.setdefault(module.name, []).append(EntryPoint(module.name, f"{group}.{module.name}", group))
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found


def _modules(kind: Kind) -> Sequence[ModuleInfo]:
    package = import_module(_PACKAGES[kind])
    return [module for module in iter_modules(package.__path__) if not module.name.startswith("_")]


@cache
def _load(name: str, origin: EntryPoint, wanted: type[_Connector]) -> type[_Connector]:
    """The class or manifest that the origin names, or the one of that name in the module that it names."""
    try:
        loaded = origin.load()
    except Exception as error:
        raise Invalid(f"{_told(origin)} cannot be loaded: {type(error).__name__}: {error}") from error
    held = list(vars(loaded).values()) if isinstance(loaded, ModuleType) else [loaded]
    candidates = sorted(held, key=lambda each: isinstance(each, Manifest))  # a class may build on its manifest
    for found in candidates:
        candidate = destination_of(found) if isinstance(found, Manifest) else found
        if isinstance(candidate, type) and issubclass(candidate, wanted) and candidate.__dict__.get("name") == name:
            return candidate
    raise Invalid(f"{_told(origin)} holds no {wanted.__name__} with the name {name!r}")


def _entry(kind: Kind, connector: type[Destination] | type[Warehouse]) -> Entry:
    return Entry(
        kind=kind,
        name=connector.name,
        label=connector.label,
        level=connector.level,
        verified_against=connector.verified_against,
        settings_schema=connector.settings_type.model_json_schema(),
        secret_fields=secret_fields(connector.settings_type),
        capabilities=capabilities_of(connector) if issubclass(connector, Destination) else frozenset(),
    )


def _told(origin: EntryPoint) -> str:
    return f"{origin.value} of {origin.dist.name}" if origin.dist else origin.value


def _holds_secret(annotation: object) -> bool:
    arguments = getattr(annotation, "__args__", ())
    return annotation is SecretStr or any(_holds_secret(argument) for argument in arguments)
