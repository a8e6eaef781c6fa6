"""What a platform on one machine keeps: its PostgreSQL, its secret key and the token of its first workspace."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from tailrace.core.errors import Invalid
from tailrace.embedded.postgres import EmbeddedPostgres

_KEY_SIZE_BYTES = 32
_OURS_ALONE = 0o600


@dataclass(frozen=True, slots=True)
class Home:
    """A directory, or nothing but memory and temporary files where it is None."""

    directory: Path | None

    def postgres(self) -> EmbeddedPostgres:
        """The server, not yet started."""
        if self.directory is None:
            return EmbeddedPostgres(durable=False)
        return EmbeddedPostgres(self._made(self.directory) / "postgres")

    def secret_key(self) -> SecretStr:
        """The key that secrets are sealed with: the kept one, or a fresh one."""
        fresh = base64.b64encode(os.urandom(_KEY_SIZE_BYTES)).decode()
        return SecretStr(self._read("secret_key") or self._keep("secret_key", fresh))

    def token(self) -> str:
        """The token that was kept; empty where there is none."""
        return self._read("token")

    def keep_token(self, text: str) -> None:
        """Let the next start use the same token."""
        self._keep("token", text)

    def _read(self, name: str) -> str:
        if self.directory is None or not (self.directory / name).exists():
            return ""
        return (self.directory / name).read_text().strip()

    def _keep(self, name: str, text: str) -> str:
        if self.directory is not None:
            path = self._made(self.directory) / name
            # Written whole or not at all: half a key would lock every stored secret.
            half = path.with_suffix(".new")
            half.touch(mode=_OURS_ALONE)
            half.write_text(text + "\n")
            half.replace(path)
        return text

    @staticmethod
    def _made(directory: Path) -> Path:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Invalid(f"cannot keep data in {directory}: {error.strerror}; name another directory") from error
        return directory
