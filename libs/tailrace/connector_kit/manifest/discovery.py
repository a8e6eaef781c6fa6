"""What an account has: objects and fields, from the manifest and from what the vendor lists."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol
from urllib.parse import parse_qs, quote, urlsplit

from tailrace.connector_kit.destination import Field, Object
from tailrace.connector_kit.field_kinds import field_kind
from tailrace.connector_kit.manifest.encoding import as_text
from tailrace.connector_kit.manifest.model import Fields, Listing, Manifest, Objects
from tailrace.connector_kit.manifest.parts import MISSING, list_at, look_up, text_at
from tailrace.core.errors import DestinationInvalid, DestinationUnavailable
from tailrace.core.syncs import SyncMode


class Ask(Protocol):
    """Asks a question, by GET or with a body by POST; gives the document of a good answer."""

    async def __call__(self, path: str, body: Mapping[str, object] | None = None) -> object: ...


_PAGES = 100
_TRUE = "true"
_NO_NAMES = frozenset({"", ".", ".."})
_TOLD = 50


async def objects_of(manifest: Manifest, ask: Ask) -> Sequence[Object]:
    """Every object, in the modes that the manifest has an operation for."""
    own, *others = manifest.families
    found = list(await _objects(own, ask))
    for kind, family in zip(manifest.kinds, others, strict=True):
        found += [replace(each, has_members=kind.has_members) for each in await _objects(family, ask)]
    return found


async def _objects(manifest: Manifest, ask: Ask) -> Sequence[Object]:
    modes = _modes(manifest)
    declared: Objects = manifest.objects
    found = {known.name: Object(known.name, known.label or known.name, modes) for known in declared.known}
    if declared.listing is not None:
        for entry in await entries_of(declared.listing, declared.listing.path, ask):
            if any(text_at(entry, place) != text for place, text in declared.where.items()):
                continue
            name = declared.prefix + text_at(entry, declared.name)
            label, is_writable = text_at(entry, declared.label) or name, _is_writable(declared, entry)
            found.setdefault(name, Object(name, label, modes, writable=is_writable))
    return list(found.values())


async def fields_of(manifest: Manifest, object_name: str, ask: Ask) -> Sequence[Field]:
    """The fields of an object; empty where any is taken.

    :raises DestinationInvalid: there is no such object.
    """
    family = manifest.family_of(object_name)
    names = [each.name for each in await _objects(family, ask)]
    is_named = object_name.removeprefix(family.objects.prefix) not in _NO_NAMES
    if object_name not in names and not (family.objects.are_any and is_named):
        names = [each.name for each in await objects_of(manifest, ask)]
        raise DestinationInvalid(f"there is no object {object_name!r}; there are {', '.join(sorted(names)[:_TOLD])}")
    declared = family.fields
    found = {
        known.name: Field(
            known.name,
            known.label or known.name,
            known.data_type,
            external_id=known.is_key,
            kind=field_kind(known.data_type, declared.kinds),
        )
        for known in declared.known
    }
    if declared.listing is not None:
        name = object_name.removeprefix(family.objects.prefix)
        path = declared.listing.path.replace("{object}", quote(name, safe=""))
        for entry in await entries_of(declared.listing, path, ask):
            field = _field(declared, entry)
            found.setdefault(field.name, field)
    return list(found.values())


async def entries_of(listing: Listing, path: str, ask: Ask) -> Sequence[object]:
    """All entries, page by page; those of an object are its names with their values.

    :raises DestinationUnavailable: an answer has no list, or there are too many pages.
    """
    found: list[object] = []
    after: object = MISSING
    for _ in range(_PAGES):
        document = await _page(listing, path, after, ask)
        entries = look_up(document, listing.each)
        if isinstance(entries, dict):
            return list(entries.items())
        page = list_at(document, listing.each)
        if page is None:
            raise DestinationUnavailable(f"the answer to {listing.path} has no list {listing.each!r}")
        found += page
        after = MISSING if listing.next is None else _cursor(listing, look_up(document, listing.next))
        is_last = listing.more is not None and text_at(document, listing.more) != _TRUE
        if is_last or after in (MISSING, None, ""):
            return found
    raise DestinationUnavailable(f"the answers to {listing.path} have more than {_PAGES} pages")


def _modes(manifest: Manifest) -> frozenset[SyncMode]:
    """A mode for each operation; to mirror takes upserts and deletes."""
    modes = {
        SyncMode.APPEND if write.appends else SyncMode(operation) for operation, write in manifest.operations.items()
    }
    return frozenset(modes | {SyncMode.MIRROR} if modes >= {SyncMode.UPSERT, SyncMode.DELETE} else modes)


def _field(declared: Fields, entry: object) -> Field:
    if isinstance(entry, tuple):  # a listing by name: its fields may always be written
        name, told = entry
        data_type = text_at(told, "")
        return Field(str(name), str(name), data_type, kind=field_kind(data_type, declared.kinds))
    name, data_type = text_at(entry, declared.name), text_at(entry, declared.data_type)
    return Field(
        name=name,
        label=text_at(entry, declared.label) or name,
        data_type=data_type,
        updateable=_is_writable(declared, entry),
        external_id=declared.is_key is not None and text_at(entry, declared.is_key) == _TRUE,
        kind=field_kind(data_type, declared.kinds),
    )


def _is_writable(declared: Objects | Fields, entry: object) -> bool:
    if declared.is_writable is not None:
        return text_at(entry, declared.is_writable) == _TRUE
    return declared.is_read_only is None or text_at(entry, declared.is_read_only) != _TRUE


def _cursor(listing: Listing, after: object) -> object:
    """Where the next page begins: what the answer says, or of an address its parameter."""
    if not isinstance(after, str) or not after.startswith("https://"):
        return after
    found = parse_qs(urlsplit(after).query).get(listing.cursor)
    if found is None:
        raise DestinationUnavailable(f"the answer to {listing.path} has a next page without {listing.cursor!r}")
    return found[0]


async def _page(listing: Listing, path: str, after: object, ask: Ask) -> object:
    if listing.body is not None:
        return await ask(path, listing.body if after is MISSING else {**listing.body, listing.cursor: after})
    if after is MISSING:
        return await ask(path)
    return await ask(f"{path}{'&' if '?' in path else '?'}{listing.cursor}={quote(as_text(after), safe='')}")
