"""Files that are never half-written, and their hashes.

Files are replaced atomically, JSON lines survive a kill, sources are hashed by what they do.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import yaml
from pydantic import JsonValue

from bench3r.api.errors import Bench3RError

MERGED = "tag:yaml.org,2002:merge"  # the key <<, which may stand beside what it merges
Row = dict[str, JsonValue]  # a line of a JSON-lines file
SOURCES = (".py", ".yaml", ".json", ".j2", ".css", ".js")  # suffixes of what the library is made of
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file beside ``path``, then put it in place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` (UTF-8) atomically."""
    write_atomic(path, lambda f: f.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write ``arrays`` (name -> [...], any shapes), compressed, atomically."""
    write_atomic(path, lambda f: np.savez_compressed(f, **arrays))  # type: ignore[arg-type]


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, of any shapes [...], never unpickled.

    Raises Bench3RError for a missing, truncated or foreign file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {k: file[k] for k in file.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise Bench3RError(f"{path}: cannot be read as .npz ({error})") from error
    except Exception as error:  # zipfile.BadZipFile, zlib.error: a truncated archive
        raise Bench3RError(f"{path}: damaged .npz ({type(error).__name__}: {error})") from error


def read_json(path: Path) -> Any:
    """Parsed JSON. Raises Bench3RError naming the file and the place of the damage."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: no such file") from error
    except (ValueError, OSError) as error:
        raise Bench3RError(f"{path}: not valid JSON ({error})") from error


class _UniqueKeys(yaml.constructor.SafeConstructor):
    """Refuses a key that stands twice in one mapping: only the last would count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == MERGED or not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                twice = (
                    f"the key {key.value!r} stands twice, in lines {lines[key.value]} and {line}"
                )
                raise yaml.constructor.ConstructorError(None, None, twice, key.start_mark)
            lines[key.value] = line
        return super().construct_mapping(node, deep)


class _Exact(_UniqueKeys, yaml.SafeLoader):
    """The reader that names the right line of a mistake."""


class _Fast(_UniqueKeys, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The reader in C, where PyYAML has it."""


def parse_yaml(text: str, where: str) -> Any:
    """Parsed YAML. Raises Bench3RError with ``where`` and line of a mistake or a repeated key."""
    with contextlib.suppress(yaml.YAMLError):
        return yaml.load(text, _Fast)
    try:
        return yaml.load(text, _Exact)
    except yaml.YAMLError as error:
        raise Bench3RError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error


def read_yaml(path: Path) -> Any:
    """Parsed YAML. Raises Bench3RError for no file, and as :func:`parse_yaml`."""
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise Bench3RError(f"{path}: no such file") from error
    except (UnicodeDecodeError, OSError) as error:
        raise Bench3RError(f"{path}: not valid YAML: {error}") from error
    return parse_yaml(text, str(path))


def append_jsonl(path: Path, row: Row) -> None:
    """Append one row as a line in a single write.

    An unfinished line of a killed writer is closed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(row, sort_keys=True, allow_nan=False).encode() + b"\n"
    with path.open("ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_jsonl(path: Path) -> list[Row]:
    """Rows of a JSON-lines file; a damaged line (a writer was killed) is left out."""
    rows = []
    if path.exists():
        for line in path.read_bytes().split(b"\n"):
            try:
                row = json.loads(line) if line.strip() else None
            except ValueError:
                row = None
            if isinstance(row, dict):
                rows.append(row)
    return rows


def write_jsonl(path: Path, rows: Iterable[Row]) -> None:
    """Write all rows atomically."""
    write_text(path, "".join(json.dumps(r, sort_keys=True, allow_nan=False) + "\n" for r in rows))


def digest(value: Any) -> str:
    """Short stable hash of a JSON-like value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def file_digest(path: Path) -> str:
    """Short hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def tree_digest(paths: Iterable[Path]) -> str:
    """Short hash of the sources under ``paths`` (files or folders), names and bytes."""
    total = hashlib.sha256()
    for root in paths:
        for path in sources(root):
            total.update(str(path.relative_to(root.parent)).encode() + b"\0")
            total.update(path.read_bytes() + b"\0")
    return total.hexdigest()[:12]


def code_digest(paths: Iterable[Path], leave_out: frozenset[str] = frozenset()) -> str:
    """Short hash of what the sources under ``paths`` (files or folders) do, and of their names.

    Python is hashed after parsing, so comments, docstrings and layout do not count; other sources
    by their bytes. Attributes of classes that are called as one of ``leave_out`` do not count.
    """
    total = hashlib.sha256()
    for root in paths:
        for path in sources(root):
            total.update(str(path.relative_to(root.parent)).encode() + b"\0")
            found = path.stat()
            total.update(_source_digest(path, leave_out, found.st_mtime_ns, found.st_size))
    return total.hexdigest()[:12]


def sources(root: Path) -> list[Path]:
    """The source files under the folder ``root``, or ``root`` itself."""
    if root.is_file():
        return [root]
    return sorted(p for p in root.rglob("*") if p.suffix in SOURCES and p.is_file())


@cache
def _source_digest(path: Path, leave_out: frozenset[str], changed: int, size: int) -> bytes:
    """Hash of one source, computed once per process for a file that stays as it is."""
    content = path.read_bytes()
    if path.suffix == ".py":
        with contextlib.suppress(SyntaxError):  # what cannot be parsed is hashed as it is
            content = _parsed(ast.parse(content), leave_out)
    return hashlib.sha256(content).digest()


def _parsed(tree: ast.Module, leave_out: frozenset[str]) -> bytes:
    """What a module does, as text: its syntax tree without docstrings and positions."""
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        if leave_out and isinstance(node, ast.ClassDef):
            node.body = [n for n in node.body if not _assigned(n) & leave_out]
    return ast.dump(tree).encode()


def _assigned(node: ast.stmt) -> set[str]:
    """The plain names that a statement assigns to."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return {t.id for t in targets if isinstance(t, ast.Name)}
