"""Compiles two modules when Tailrace is installed. Where there is no C compiler it stays pure Python, and says so."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from Cython.Build import cythonize
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

_PACKAGE = "tailrace.connector_kit"
_NAMES = ("copy_cells", "line_order")


class CompiledParts(BuildHookInterface[Any]):
    """Puts the compiled module beside its source, where an editable install finds it, and into the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the wheel is packed."""
        try:
            built = _compiled(Path(self.root))
        except (BaseError, CCompilerError, OSError) as error:
            self.app.display_warning(f"nothing is compiled, rows from PostgreSQL are read slower: {error}")
            return
        if version != "editable":
            build_data |= {"pure_python": False, "infer_tag": True}
            build_data["artifacts"] += [path.relative_to(self.root).as_posix() for path in built]


def _compiled(root: Path) -> list[Path]:
    folder = root.joinpath("libs", *_PACKAGE.split("."))
    with TemporaryDirectory() as scratch:
        extensions = [Extension(f"{_PACKAGE}.{name}", [str(folder / f"{name}.pyx")]) for name in _NAMES]
        modules = cythonize(extensions, build_dir=scratch, quiet=True, language_level=3)
        command = build_ext(Distribution({"ext_modules": modules, "package_dir": {"": str(root / "libs")}}))
        command.inplace, command.build_temp = True, scratch
        command.ensure_finalized()
        command.run()
        return [Path(command.get_ext_fullpath(each.name)) for each in extensions]
