"""Which user a server runs as: PostgreSQL refuses root, and nothing of ours needs it."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from tailrace.core.errors import Invalid

_UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """A user that exists already; none is ever made."""

    user_id: int
    group_id: int

    @property
    def is_ours(self) -> bool:
        """Whether this process runs as that user."""
        return self.user_id == os.geteuid()

    def may_reach(self, path: Path) -> bool:
        """Whether the path, as far as it exists, lets the user through by its mode bits; ours always do."""
        if self.is_ours:
            return True
        way = {path, *path.parents, path.resolve(), *path.resolve().parents}
        return all(self._may_enter(folder.stat()) for folder in way if folder.exists())

    def _may_enter(self, entry: os.stat_result) -> bool:
        if entry.st_uid == self.user_id:
            return bool(entry.st_mode & stat.S_IXUSR)
        if entry.st_gid == self.group_id:
            return bool(entry.st_mode & stat.S_IXGRP)
        return bool(entry.st_mode & stat.S_IXOTH)


def server_account(existing: Path | None = None) -> Account:
    """Our own user; as root the owner of the `existing` folder, or else `nobody`.

    :raises Invalid: the existing folder belongs to another user.
    """
    ours = Account(os.geteuid(), os.getegid())
    owner = existing.stat() if existing is not None and existing.exists() else None
    if ours.user_id != 0:
        if owner is not None and owner.st_uid != ours.user_id:
            raise Invalid(f"{existing} belongs to another user: run as that user, or name another directory")
        return ours
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    return _unprivileged()


def _unprivileged() -> Account:
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as error:
        raise Invalid(
            f"PostgreSQL refuses root, and there is no user '{_UNPRIVILEGED}': run as an ordinary user"
        ) from error
    return Account(entry.pw_uid, entry.pw_gid)
