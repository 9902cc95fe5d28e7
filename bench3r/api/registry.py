"""Finds what a folder holds: one file (or one package), one entry, found by its name.

Methods, datasets, backbones, protocols and report sections are all found this way. Files that start with ``_`` are
helpers. Plug-ins lie outside the library and are imported under a namespace of their own (``methods/spark3r.py`` is
``bench3r_methods.spark3r``), so that none shadows an installed package: ``datasets`` is also the name of a Hugging Face
package. A file that cannot be used is an error that names file, line and cause, never a silent skip.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from bench3r.api.errors import Bench3RError, unknown

LIBRARY = Path(__file__).resolve().parents[1]  # the package bench3r
ROOT = Path(os.environ.get("BENCH3R_ROOT", LIBRARY.parent))  # where methods/ and datasets/ lie
NAME = re.compile(r"[A-Za-z0-9_]+")  # of an entry: it becomes part of file names and commands
T = TypeVar("T")


def subclass_of(base: type) -> Callable[[ModuleType], list[Any]]:
    """A finder of the concrete subclasses of ``base`` that a module defines itself."""

    def find(module: ModuleType) -> list[Any]:
        return [c for c in _classes_of(module) if issubclass(c, base) and not inspect.isabstract(c)]

    return find


def instance_of(base: type) -> Callable[[ModuleType], list[Any]]:
    """A finder of the instances of ``base`` among the names of a module."""
    return lambda module: [v for v in vars(module).values() if isinstance(v, base)]


def _classes_of(module: ModuleType) -> Iterator[type]:
    for _, found in inspect.getmembers(module, inspect.isclass):
        if found.__module__ == module.__name__:
            yield found


class Registry(Generic[T]):
    """The entries of one kind.

    ``find`` says what of a module is an entry; every entry has a ``name``. A file holds one entry unless ``several``.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        package: str,
        find: Callable[[ModuleType], list[T]],
        *,
        pattern: str = "*.py",
        several: bool = False,
        leave_out: tuple[str, ...] = (),
    ) -> None:
        self.kind, self.folder, self.package = kind, folder, package
        self._find, self._several = find, several
        self._pattern, self._leave_out = pattern, leave_out

    def _stem(self, path: Path) -> str:
        """Name of a file, or of a package below the folder by its ``__init__.py``."""
        is_package = path.name == "__init__.py" and path.parent != self.folder
        return path.parent.name if is_package else path.stem

    def files(self) -> dict[str, Path]:
        """File or package of every entry by its stem, without importing any."""
        named = {self._stem(p): p for p in self.folder.glob(self._pattern)}
        return {
            n: named[n] for n in sorted(named) if not n.startswith("_") and n not in self._leave_out
        }

    def module(self, path: Path) -> ModuleType:
        """Import the file at ``path``. Raises Bench3RError with file, line and cause when it raises."""
        name = f"{self.package}.{self._stem(path)}"
        if name in sys.modules:
            return sys.modules[name]
        try:
            if self.folder.is_relative_to(LIBRARY):
                return importlib.import_module(name)
            return self._import_plugin(name, path)
        except BaseException as error:
            sys.modules.pop(name, None)
            if not isinstance(error, (Exception, SystemExit)):
                raise
            frames = [
                f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)
            ]
            line = frames[-1].lineno if frames else getattr(error, "lineno", "?")
            cause = f"{type(error).__name__}: {error}"
            raise Bench3RError(f"{path}, line {line}: plug-in cannot be loaded: {cause}") from error

    def _import_plugin(self, name: str, path: Path) -> ModuleType:
        if (
            self.package not in sys.modules
        ):  # a package whose path is the folder, so that plug-ins can share _helpers
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
        """What the file at ``path`` holds. Raises Bench3RError unless it holds as many entries as it should."""
        module = self.module(path)
        found = self._find(module)
        if not found or (len(found) > 1 and not self._several):
            names = ", ".join(getattr(f, "__name__", repr(f)) for f in found) or "none"
            raise Bench3RError(f"{path}: expected exactly one {self.kind}, found {names}")
        for entry in found:
            name = getattr(entry, "name", None)
            if not isinstance(name, str) or not NAME.fullmatch(name):
                called = getattr(entry, "__name__", type(entry).__name__)
                raise Bench3RError(
                    f"{path}: {called}.name is {name!r}; expected letters, digits and _ only"
                )
        return found

    def usable(self) -> tuple[dict[str, T], dict[str, Bench3RError]]:
        """Entries by name, and by file name the errors of those that cannot be used."""
        good: dict[str, T] = {}
        broken: dict[str, Bench3RError] = {}
        origin: dict[str, Path] = {}
        for stem, path in self.files().items():
            try:
                for entry in self.entries(path):
                    name = entry.name  # type: ignore[attr-defined]
                    if name in good:
                        raise Bench3RError(
                            f"{path}: the name {name!r} is already taken by {origin[name]}"
                        )
                    good[name], origin[name] = entry, path
            except Bench3RError as error:
                broken[stem] = error
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
                if entry.name == name:  # type: ignore[attr-defined]
                    return entry
        good, broken = self.usable()
        if name not in good:
            raise self.missing(name, good, broken, where)
        return good[name]

    def missing(
        self, name: str, good: dict[str, T], broken: dict[str, Bench3RError], where: str = ""
    ) -> Bench3RError:
        """Why there is no ``name``: its own error when its file is broken, else what there is instead."""
        if name in broken:
            return broken[name]
        error = unknown(self.kind, name, good, where)
        if not broken:
            return error
        files = ", ".join(f"{n}.py" for n in sorted(broken))
        return Bench3RError(f"{error}; cannot be loaded: {files}")

    def file_of(self, name: str) -> Path:
        """The file that holds the entry called ``name``. Raises Bench3RError without one."""
        entry: Any = self.get(name)
        files = self.files()
        if inspect.isclass(entry):
            return Path(inspect.getfile(entry))
        return (
            files[name]
            if name in files
            else next(p for p in files.values() if entry in self.entries(p))
        )

    def forget(self) -> None:
        """Drop what was imported from the folder, so that a changed file is read again."""
        for name in [
            m for m in sys.modules if m == self.package or m.startswith(f"{self.package}.")
        ]:
            del sys.modules[name]
