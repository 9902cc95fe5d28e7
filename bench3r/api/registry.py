"""Finds what a folder holds: one file (or one package) is one entry, found by its name.

Methods, datasets, backbones, protocols, report sections and parity checks are all found this way.
Files that start with ``_`` are helpers. Plug-ins lie outside the library and are imported under a
namespace of their own (``methods/spark3r.py`` is ``bench3r_methods.spark3r``), so that none shadows
an installed package: ``datasets`` is also the name of a Hugging Face package. A file that cannot be
used is an error that names file, line and cause, never a silent skip.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from bench3r.api.errors import Bench3RError, unknown

LIBRARY = Path(__file__).resolve().parents[1]  # the package bench3r
ROOT = Path(os.environ.get("BENCH3R_ROOT", LIBRARY.parent))  # where methods/ and datasets/ lie
NAME = re.compile(r"[A-Za-z0-9_]+")  # of an entry: it becomes part of file names and commands
T = TypeVar("T")
Finder = Callable[[ModuleType], list[T]]  # what of a module is an entry


def subclass_of(base: type) -> Finder[Any]:
    """A finder of the concrete subclasses of ``base`` that a module defines itself."""

    def find(module: ModuleType) -> list[Any]:
        found = []
        for _, cls in inspect.getmembers(module, inspect.isclass):
            is_own = cls.__module__ == module.__name__
            if is_own and issubclass(cls, base) and not inspect.isabstract(cls):
                found.append(cls)
        return found

    return find


def instance_of(base: type) -> Finder[Any]:
    """A finder of the instances of ``base`` among the names of a module."""
    return lambda module: [v for v in vars(module).values() if isinstance(v, base)]


class Registry(Generic[T]):
    """The entries of one kind: whatever ``find`` finds in the files of ``folder``.

    Every entry has a ``name``. A file holds one entry unless ``several``; ``leave_out`` are the
    stems of files that hold none. ``package``: the name under which the files are imported.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        package: str,
        find: Finder[T],
        *,
        pattern: str = "*.py",
        several: bool = False,
        leave_out: tuple[str, ...] = (),
    ) -> None:
        self.kind = kind
        self.folder = folder
        self.package = package
        self._find = find
        self._pattern = pattern
        self._several = several
        self._leave_out = leave_out
        self._listed: tuple[Path, dict[str, Path]] | None = None

    def files(self) -> dict[str, Path]:
        """File (of a package its ``__init__.py``) of every entry by its stem; imports none.

        Those of the library are listed once: its files do not change while it runs.
        """
        if self._listed is not None and self._listed[0] == self.folder:
            return self._listed[1]
        named: dict[str, Path] = {}
        for path in self.folder.glob(self._pattern):
            stem = self._stem(path)
            if not stem.startswith("_") and stem not in self._leave_out:
                named[stem] = path
        found = dict(sorted(named.items()))
        if self.folder.is_relative_to(LIBRARY):
            self._listed = (self.folder, found)
        return found

    def _stem(self, path: Path) -> str:
        """Name of a file, or of a package below the folder by its ``__init__.py``."""
        is_package = path.name == "__init__.py" and path.parent != self.folder
        return path.parent.name if is_package else path.stem

    def module(self, path: Path) -> ModuleType:
        """Import the file at ``path``.

        Raises Bench3RError with file, line and cause when it cannot be imported.
        """
        name = f"{self.package}.{self._stem(path)}"
        if name in sys.modules:
            return sys.modules[name]
        try:
            if self.folder.is_relative_to(LIBRARY):
                return importlib.import_module(name)
            return self._import_plugin(name, path)
        except BaseException as error:
            sys.modules.pop(name, None)  # a half-imported module must not be found again
            if not isinstance(error, (Exception, SystemExit)):
                raise
            cause = f"{type(error).__name__}: {error}"
            raise Bench3RError(
                f"{path}, line {_line_of(error, path)}: plug-in cannot be loaded: {cause}"
            ) from error

    def _import_plugin(self, name: str, path: Path) -> ModuleType:
        if self.package not in sys.modules:
            # a package whose path is the folder, so that plug-ins can share _helpers
            package = ModuleType(self.package)
            package.__path__ = [str(path.parent)]
            sys.modules[self.package] = package
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no Python module")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def entries(self, path: Path) -> list[T]:
        """What the file at ``path`` holds.

        Raises Bench3RError when it cannot be imported, unless it holds as many entries as it
        should, and for names that cannot stand in file names.
        """
        found = self._find(self.module(path))
        if not found or (len(found) > 1 and not self._several):
            names = ", ".join(map(_called, found)) or "none"
            raise Bench3RError(f"{path}: expected exactly one {self.kind}, found {names}")
        for entry in found:
            name = getattr(entry, "name", None)
            if not isinstance(name, str) or not NAME.fullmatch(name):
                given = f"{_called(entry)}.name is {name!r}"
                raise Bench3RError(f"{path}: {given}; expected letters, digits and _ only")
        return found

    def usable(self) -> tuple[dict[str, T], dict[str, Bench3RError]]:
        """Entries by name, and by file name the errors of those that cannot be used.

        What to do about a broken file is for the caller to say. Raises Bench3RError naming both
        files when two entries have one name: neither is more right than the other.
        """
        good: dict[str, T] = {}
        broken: dict[str, Bench3RError] = {}
        origin: dict[str, Path] = {}
        for stem, path in self.files().items():
            try:
                entries = self.entries(path)
            except Bench3RError as error:
                broken[stem] = error
                continue
            for entry in entries:
                name = _name(entry)
                if name in good:
                    taken = f"the name {name!r} is already taken by {origin[name]}"
                    raise Bench3RError(f"{path}: {taken}")
                good[name] = entry
                origin[name] = path
        return good, broken

    def all(self) -> dict[str, T]:
        """All entries by name. Raises Bench3RError when one cannot be used or two share a name."""
        good, broken = self.usable()
        for error in broken.values():
            raise error
        return good

    def get(self, name: str, where: str = "") -> T:
        """The entry called ``name``: of the file of that name if it holds it, else of any.

        Raises Bench3RError without one; ``where`` says who asked.
        """
        path = self.files().get(name)
        if path is not None:
            for entry in self.entries(path):
                if _name(entry) == name:
                    return entry
        good, broken = self.usable()
        if name not in good:
            raise self.missing(name, good, broken, where)
        return good[name]

    def missing(
        self, name: str, good: dict[str, T], broken: dict[str, Bench3RError], where: str = ""
    ) -> Bench3RError:
        """Why there is no ``name``: its file's own error if that is broken, else what there is."""
        if name in broken:
            return broken[name]
        error = unknown(self.kind, name, good, where)
        if not broken:
            return error
        files = ", ".join(f"{stem}.py" for stem in sorted(broken))
        return Bench3RError(f"{error}; cannot be loaded: {files}")

    def file_of(self, name: str) -> Path:
        """The file that holds the entry called ``name``. Raises Bench3RError without one."""
        entry = self.get(name)
        files = self.files()
        own = [files[name]] if name in files else []
        for path in (*own, *files.values()):
            if any(found is entry for found in self.entries(path)):
                return path
        raise Bench3RError(f"{self.kind} {name} stands in no file of {self.folder}")

    def forget(self) -> None:
        """Drop what was imported from the folder, so that a changed file is read again."""
        self._listed = None
        for name in list(sys.modules):
            if name == self.package or name.startswith(f"{self.package}."):
                del sys.modules[name]


def _name(entry: Any) -> str:
    return str(entry.name)


def _called(entry: Any) -> str:
    """How an entry is called in an error: a class by its name."""
    return getattr(entry, "__name__", type(entry).__name__)


def _line_of(error: BaseException, path: Path) -> int | str:
    """The line of the file at ``path`` that raised ``error``; "?" where none did."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == str(path) and frame.lineno is not None:
            return frame.lineno
    return getattr(error, "lineno", None) or "?"
