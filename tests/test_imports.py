"""Every import inside bench3r/ points downwards, lazy and type-only ones included, and no circle exists anywhere."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bench3r"

# A room imports only rooms that stand before it (docs/architecture.md has the same list with each room's rule).
ROOMS = (
    "files",
    "metrics",
    "api",
    "data",
    "models",
    "attention",
    "recursion",
    "training",
    "measure",
    "pairwise",
    "protocols",
    "run",
    "jobs",
    "report",
    "exchange",
    "parity",
    "stages",
    "cli",
    "__main__",
)
# The one kind of error has no dependencies of its own, so that even the lowest room can raise it.
BELOW_ALL = ("bench3r.api.errors", "bench3r.api")
# What a plug-in may import: the contract, and the rooms that hold mathematics and file formats that several plug-ins
# share. Never a run, a job, a stage or a report.
OPEN_TO_PLUGINS = (
    "api",
    "attention",
    "data",
    "files",
    "measure",
    "metrics",
    "models",
    "pairwise",
    "recursion",
    "training",
)


def module_name(path: Path) -> str:
    """The dotted name of a file below the repository."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def package_modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    return {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(path: Path, known: set[str]) -> set[str]:
    """Modules of the package that ``path`` imports anywhere in its text: top level, inside functions, type-only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in known else str(node.module))
    return {name for name in found if name.split(".")[0] == "bench3r"}


def import_graph() -> dict[str, set[str]]:
    """Which modules of the package every module imports, itself left out."""
    modules = package_modules()
    known = set(modules)
    return {name: imported(path, known) - {name} for name, path in modules.items()}


def room_of(module: str) -> str | None:
    """The folder or file directly below bench3r/ that ``module`` lies in; None for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def cycle_of(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import circle, an empty list when there is none."""
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def upward_imports(graph: dict[str, set[str]]) -> list[str]:
    """Imports from a room of one that stands after it."""
    found = []
    for module, targets in graph.items():
        for target in targets:
            here, there = room_of(module), room_of(target)
            if here is None or there is None or target in BELOW_ALL:
                continue
            if ROOMS.index(there) > ROOMS.index(here):
                found.append(f"{module} imports {target}")
    return found


def test_every_room_is_in_the_order():
    on_disk = {room_of(name) for name in package_modules()} - {None}
    assert on_disk == set(ROOMS)


def test_imports_point_downwards():
    assert not upward_imports(import_graph())


def test_there_is_no_import_circle():
    assert not cycle_of(import_graph())


@pytest.mark.parametrize("folder", ["methods", "datasets"])
def test_plugins_import_only_what_is_open_to_them(folder):
    known = set(package_modules())
    for path in sorted((ROOT / folder).glob("*.py")):
        rooms = {room_of(name) for name in imported(path, known)}
        assert rooms <= set(OPEN_TO_PLUGINS), f"{path.name} imports {rooms - set(OPEN_TO_PLUGINS)}"


def test_the_api_imports_no_torch_but_for_types():
    for path in sorted((PACKAGE / "api").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            assert not [n for n in names if n.split(".")[0] == "torch"], path


def test_planted_faults_are_found(tmp_path):
    graph = {
        "bench3r.data.load": {"bench3r.models.vggt"},
        "bench3r.models.vggt": set(),
        "bench3r.run.plan": {"bench3r.run.keys"},
        "bench3r.run.keys": {"bench3r.run.plan"},
    }
    assert upward_imports(graph) == ["bench3r.data.load imports bench3r.models.vggt"]
    assert {"bench3r.run.plan", "bench3r.run.keys"} <= set(cycle_of(graph))
    lazy = tmp_path / "lazy.py"
    lazy.write_text("def f():\n    from bench3r.run import plan\n    return plan\n")
    assert imported(lazy, {"bench3r.run.plan"}) == {"bench3r.run.plan"}
