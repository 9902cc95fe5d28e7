"""Finds methods and datasets: one file, one plug-in. Files are loaded under a namespace of their own.

``methods/spark3r.py`` becomes the module ``bench3r_methods.spark3r``, so no plug-in shadows an installed package
(``datasets`` is also the name of a Hugging Face package). A plug-in that cannot be loaded is a hard error.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from bench3r.api.errors import Bench3RError, unknown

ROOT = Path(os.environ.get("BENCH3R_ROOT", Path(__file__).resolve().parents[2]))
NAME = re.compile(r"[A-Za-z0-9_]+")  # of a plug-in: it becomes part of file names and commands
FOLDERS = {"methods": "bench3r_methods", "datasets": "bench3r_datasets"}


def plugin_files(kind: str, root: Path = ROOT) -> dict[str, Path]:
    """Plug-in name -> file, for ``kind`` "methods" or "datasets"; files that start with _ are helpers."""
    return {p.stem: p for p in sorted((root / kind).glob("*.py")) if not p.name.startswith("_")}


def load_module(kind: str, path: Path) -> ModuleType:
    """Import one plug-in file. Raises Bench3RError with file, line and cause when it raises."""
    name = f"{FOLDERS[kind]}.{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    _namespace(kind, path.parent)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Bench3RError(f"{path}: cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, (Exception, SystemExit)):
            raise
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = frames[-1].lineno if frames else getattr(error, "lineno", "?")
        raise Bench3RError(f"{path}, line {line}: plug-in cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _namespace(kind: str, folder: Path) -> None:
    """Make ``bench3r_methods`` a package whose path is the plug-in folder, so plug-ins can share _helpers."""
    package = FOLDERS[kind]
    if package not in sys.modules:
        module = ModuleType(package)
        module.__path__ = [str(folder)]
        sys.modules[package] = module


def plugin_class(kind: str, module: ModuleType, base: type) -> Any:
    """The one concrete subclass of ``base`` that ``module`` defines."""
    found = [
        c for _, c in inspect.getmembers(module, inspect.isclass)
        if issubclass(c, base) and c.__module__ == module.__name__ and not inspect.isabstract(c)
    ]  # fmt: skip
    if len(found) != 1:
        names = ", ".join(c.__name__ for c in found) or "none"
        raise Bench3RError(f"{module.__file__}: expected exactly one {base.__name__} subclass, found {names}")
    return found[0]


def load_usable(kind: str, base: type, root: Path = ROOT) -> tuple[dict[str, Any], dict[str, Bench3RError]]:
    """Plug-ins of ``kind`` by name, and by file name the errors of those that cannot be used."""
    classes: dict[str, Any] = {}
    broken: dict[str, Bench3RError] = {}
    for path in plugin_files(kind, root).values():
        try:
            cls = plugin_class(kind, load_module(kind, path), base)
            name = getattr(cls, "name", None)
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise Bench3RError(f"{path}: {cls.__name__}.name is {name!r}; expected letters, digits and _ only")
            if name in classes:
                raise Bench3RError(f"{path}: the name {name!r} is already taken by {inspect.getfile(classes[name])}")
            classes[name] = cls
        except Bench3RError as error:
            broken[path.stem] = error
    return classes, broken


def load_all(kind: str, base: type, root: Path = ROOT) -> dict[str, Any]:
    """All plug-ins of ``kind`` by name. Raises Bench3RError when one fails to load or two share a name."""
    classes, broken = load_usable(kind, base, root)
    for error in broken.values():
        raise error
    return classes


def not_there(
    kind: str, name: str, classes: Iterable[str], broken: dict[str, Bench3RError], where: str = ""
) -> Bench3RError:
    """Why there is no plug-in called ``name``: its own error when its file is broken, else what there is instead."""
    if name in broken:
        return broken[name]
    error = unknown(kind.removesuffix("s"), name, classes, where)
    left_out = f"; cannot be loaded: {', '.join(f'{n}.py' for n in sorted(broken))}" if broken else ""
    return Bench3RError(f"{error}{left_out}")


def load_one(kind: str, name: str, base: type, root: Path = ROOT) -> Any:
    """The plug-in called ``name``. Looks at the file of that name first, then at all. Raises Bench3RError without one."""
    path = plugin_files(kind, root).get(name)
    if path is not None:
        cls = plugin_class(kind, load_module(kind, path), base)
        if cls.name == name:
            return cls
    classes, broken = load_usable(kind, base, root)
    if name not in classes:
        raise not_there(kind, name, classes, broken)
    return classes[name]
