"""The one way in which methods, datasets, networks, protocols, sections and checks are found."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace as Thing

import pytest

from bench3r.api.errors import Bench3RError
from bench3r.api.registry import Registry, instance_of, subclass_of

HEAD = "from types import SimpleNamespace as Thing\n"


@pytest.fixture
def folder(tmp_path):
    """A folder with two entries, a helper and a file of another kind."""
    (tmp_path / "_helper.py").write_text("raise SystemExit('a helper is not looked at')\n")
    (tmp_path / "base.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text(HEAD + "B = Thing(name='b')\n")
    (tmp_path / "a.py").write_text(HEAD + "A = Thing(name='a')\n")
    return tmp_path


@pytest.fixture
def things(folder):
    registry: Registry[Thing] = Registry(
        "thing", folder, "tests_of_registry", instance_of(Thing), leave_out=("base",)
    )
    registry.forget()
    yield registry
    registry.forget()


def test_files_are_listed_without_being_imported(things, folder):
    (folder / "broken.py").write_text("1 / 0\n")
    assert list(things.files()) == ["a", "b", "broken"]


def test_entries_are_found_by_name(things, folder):
    assert list(things.all()) == ["a", "b"]
    assert things.get("a") == Thing(name="a")
    assert things.file_of("b") == folder / "b.py"
    with pytest.raises(Bench3RError, match=r"config: unknown thing 'c'.*known: a, b"):
        things.get("c", "config")


def test_an_entry_may_stand_in_a_file_of_another_name(things, folder):
    (folder / "c.py").write_text(HEAD + "C = Thing(name='d')\n")
    assert things.get("d") == Thing(name="d")
    assert things.file_of("d") == folder / "c.py"


def test_a_package_is_called_as_its_folder(folder):
    package = folder / "whole"
    package.mkdir()
    (package / "__init__.py").write_text(HEAD + "W = Thing(name='whole')\nV = Thing(name='v')\n")
    registry: Registry[Thing] = Registry(
        "thing",
        folder,
        "tests_of_packages",
        instance_of(Thing),
        pattern="*/__init__.py",
        several=True,
    )
    assert list(registry.files()) == ["whole"]
    assert sorted(registry.all()) == ["v", "whole"]
    registry.forget()


def test_the_own_init_of_a_folder_is_no_entry(things, folder):
    (folder / "__init__.py").write_text("")
    assert list(things.files()) == ["a", "b"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("\n\n1 / 0\n", r"c\.py, line 3: plug-in cannot be loaded: ZeroDivisionError"),
        ("def (:\n", r"c\.py, line 1: plug-in cannot be loaded: SyntaxError"),
        ("import no_such_module\n", r"c\.py, line 1: .*ModuleNotFoundError: .*no_such_module"),
        ("raise SystemExit('stop')\n", r"c\.py, line 1: .*SystemExit: stop"),
        ("\nimport tests_of_registry._helper\n", r"c\.py, line 2: .*a helper is not looked at"),
        (HEAD, r"c\.py: expected exactly one thing, found none"),
        (
            HEAD + "X = Thing(name='x')\nY = Thing(name='y')\n",
            "expected exactly one thing, found SimpleNamespace, SimpleNamespace",
        ),
        (
            HEAD + "X = Thing(name='../x')\n",
            r"SimpleNamespace\.name is '\.\./x'; expected letters, digits and _",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_line_and_cause(things, folder, code, says):
    (folder / "c.py").write_text(code)
    with pytest.raises(Bench3RError, match=says):
        things.all()
    good, broken = things.usable()
    assert list(good) == ["a", "b"]
    assert list(broken) == ["c"]
    with pytest.raises(Bench3RError, match=says):
        things.get("c")


def test_two_files_with_one_name_are_an_error_for_everyone(things, folder):
    (folder / "0.py").write_text(HEAD + "X = Thing(name='a')\n")  # found before a.py
    says = r"a\.py: the name 'a' is already taken by .*0\.py"
    for ask in (things.all, things.usable, lambda: things.get("of another file")):
        with pytest.raises(Bench3RError, match=says):
            ask()


def test_a_stopped_import_is_not_found_half_done(things, folder, monkeypatch):
    (folder / "c.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        things.all()
    (folder / "c.py").write_text(HEAD + "C = Thing(name='c')\n")
    assert things.get("c") == Thing(name="c")


def test_classes_are_found_where_they_are_defined(tmp_path):
    code = "from pathlib import PurePath, Path\n\nclass Own(PurePath):\n    name = 'own'\n"
    (tmp_path / "own.py").write_text(code)
    registry: Registry[type[Path]] = Registry(
        "path", tmp_path, "tests_of_classes", subclass_of(Path.__mro__[1])
    )
    assert registry.get("own").__name__ == "Own"
    registry.forget()
