"""The command line. Every stage of the workflow is a subcommand that a person can type."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench3r.api.errors import Bench3RError

if TYPE_CHECKING:
    from bench3r.run.plan import Plan

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Benchmark of efficient feed-forward 3D reconstruction. "
    "Exit codes: 0 done, 1 a check failed, 2 bad input.",
)
console = Console()

PlanFile = Annotated[Path, typer.Option("--plan", help="plan made by `bench3r plan`")]
Out = Annotated[
    Path | None, typer.Option("--out", help="output file; the usual place when left out")
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads")]


def _plan(path: Path) -> Plan:
    from bench3r.run.plan import read_plan

    return read_plan(path)


def _print(*lines: str) -> None:
    """Print lines that the terminal may fold and that hold no markup."""
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table whose first column is never cut."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


@app.command("list", epilog="Example: bench3r list --methods")
def list_(
    methods: Annotated[bool, typer.Option("--methods")] = False,
    backbones: Annotated[bool, typer.Option("--backbones")] = False,
    datasets: Annotated[bool, typer.Option("--datasets")] = False,
    protocols: Annotated[bool, typer.Option("--protocols")] = False,
    frame_lists: Annotated[bool, typer.Option("--frame-lists")] = False,
) -> None:
    """Print methods, backbones, datasets, protocols and frame lists by name.

    All, or those asked for.
    """
    from bench3r.stages.listing import sections

    asked = {
        "methods": methods,
        "backbones": backbones,
        "datasets": datasets,
        "protocols": protocols,
        "frame lists": frame_lists,
    }
    for section in sections([name for name, wanted in asked.items() if wanted] or list(asked)):
        _table(*section)


@app.command(epilog="Example: bench3r check methods/spark3r.py")
def check(file: Annotated[Path, typer.Argument(help="a file in methods/")]) -> None:
    """Run the contract test on a method: it loads, builds and reconstructs one small scene."""
    from bench3r.stages.check import check_method

    for line in check_method(file):
        console.print(line)


@app.command(epilog="Example: bench3r plan --config config/paper.yaml")
def plan(
    config: Annotated[Path, typer.Option("--config", help="configuration file")] = Path(
        "config/default.yaml"
    ),
    out: Out = None,
) -> None:
    """Expand a configuration into cells.

    Prints their number and the disk that predictions may take.
    """
    from bench3r.stages import plan as stage

    made, target, left_out = stage.plan(config, out)
    for text in left_out:
        Console(stderr=True).print(f"warning: {_escaped(text)}", soft_wrap=True)
    console.print(stage.summary(made, target))


@app.command(epilog="Example: bench3r prepare seven_scenes --root /data/7scenes")
def prepare(
    dataset: Annotated[str, typer.Argument(help="dataset name, or its id in --plan")],
    root: Annotated[str, typer.Option(help="data root, or `procedural`")] = "procedural",
    scenes: Annotated[
        int | None, typer.Option(min=1, help="the first n; default: all of a root, 10 procedural")
    ] = None,
    frames: Annotated[list[int], typer.Option(min=1, help="procedural: of the frame lists")] = [4],
    views: Annotated[int, typer.Option(min=2, help="procedural: frames rendered per scene")] = 8,
    every: Annotated[int, typer.Option(min=1, help="of a root: read every n-th frame only")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="of a root: processes; 0: one per core")] = 0,
    plan: Annotated[Path | None, typer.Option("--plan")] = None,
    out: Out = None,
) -> None:
    """Validate a whole data root, or prepare a dataset of a plan, or render a procedural one.

    Preparing writes frame lists and checks.
    """
    if plan is None and root != "procedural":
        _validate(dataset, Path(root), scenes, every, workers, out)
        return
    from bench3r.run import paths
    from bench3r.run.config_sections import DatasetConfig
    from bench3r.run.datasets import adhoc_dataset
    from bench3r.stages.prepare import prepare as run

    if plan is not None:
        entry = _plan(plan).dataset(dataset)
    else:
        wanted = DatasetConfig(root=root, scenes=scenes or 10, views=max(views, *frames))
        entry = adhoc_dataset(dataset, wanted, frames)
    result = run(entry, out or paths.prepared(entry.id), paths.data_folder(entry.id))
    failed = {name: check.note for name, check in result.checks.items() if not check.ok}
    counts = f"{len(result.checks)} scenes, {len(failed)} broken"
    console.print(f"{entry.name}: {counts}, root {result.root}")
    for name, note in failed.items():
        console.print(f"  {name}: {note}")


def _validate(
    name: str, root: Path, scenes: int | None, every: int, workers: int, out: Path | None
) -> None:
    """Check a data root; exit 1 when something is wrong with a scene."""
    from bench3r.data.validate import validate
    from bench3r.run import paths
    from bench3r.stages.validate import problems, root_table, summary

    target = out or paths.RESULTS / "data" / f"{name}-validation.json"
    report = validate(name, root, target, scenes, every, workers)
    console.print(root_table(report))
    _print(*problems(report))
    console.print(f"{summary(report)}; details: {target}")
    if report.broken:
        raise typer.Exit(1)


@app.command(epilog="Example: bench3r train TRAINING --plan .bench3r/default.json")
def train(
    name: Annotated[str, typer.Argument(help="training id in the plan")],
    plan: PlanFile,
    out: Out = None,
    max_minutes: Annotated[
        float, typer.Option(help="stop after this time; run again to go on")
    ] = float("inf"),
    threads: Threads = 1,
) -> None:
    """Train a base, or what a method learns. Resumes by itself.

    Start it with torchrun for several processes.
    """
    import torch

    from bench3r.jobs.gpus import claim_for
    from bench3r.run import paths
    from bench3r.stages.train import train as run

    torch.set_num_threads(threads)
    made = _plan(plan)
    claim_for(made.config.device)
    run(made, name, out or paths.trained(made.name, name), max_minutes * 60)


@app.command(epilog="Example: bench3r predict CELL --plan .bench3r/default.json")
def predict(
    cell: Annotated[str, typer.Argument(help="cell id in the plan")],
    plan: PlanFile,
    out: Out = None,
    threads: Threads = 1,
) -> None:
    """Predict all scenes of a cell under supervision; failures become records.

    Resumes by itself.
    """
    from bench3r.stages import predict as stage

    rows = stage.predict(plan, cell, out, threads)
    for line in stage.summary(cell, rows):
        console.print(line)


@app.command(epilog="Example: bench3r profile --scale full --frames 1 100 1000 --device meta")
def profile(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="profile id in the plan; frame counts with --device meta"),
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="plan file (bench3r plan)")] = None,
    out: Out = None,
    threads: Threads = 1,
    device: Annotated[
        str, typer.Option(help="meta: count every method at --scale without running it")
    ] = "",
    scale: Annotated[str, typer.Option(help="with --device meta")] = "full",
    frames: Annotated[
        str, typer.Option(help="with --device meta: frame counts, separated by blanks or commas")
    ] = "",
) -> None:
    """Measure FLOPs, latency and memory of one forward pass, or the maximum frame count.

    Requires an idle machine. With --device meta: count the FLOPs of all methods on all backbones at
    --scale, from their sizes alone.
    """
    from bench3r.stages import profile as stage

    if device:
        counts = " ".join([frames, *(names or [])])
        _print(stage.count_published(device, scale, counts, out))
        return
    if not names or len(names) > 1 or plan is None:
        raise Bench3RError("profile: give one profile id and --plan, or --device meta")
    record = stage.profile(plan, names[0], out, threads)
    console.print(f"{names[0]}: {record.status} {record.reason}")


@app.command(epilog="Example: bench3r score CELL --plan .bench3r/default.json")
def score(
    cell: Annotated[str, typer.Argument(help="cell id in the plan")],
    plan: PlanFile,
    out: Out = None,
    threads: Threads = 1,
) -> None:
    """Score a cell's saved predictions under every protocol of the plan."""
    from bench3r.run import paths
    from bench3r.stages.score import score_cell

    made = _plan(plan)
    entry, run = made.cell(cell), made.name
    rows = score_cell(
        made,
        entry,
        paths.predicted(run, cell),
        paths.prepared(entry.dataset),
        out or paths.scored(run, cell),
        workers=threads,
    )
    console.print(f"{cell}: {len(rows)} score records")


@app.command(epilog="Example: bench3r collect --plan .bench3r/default.json")
def collect(plan: PlanFile, out: Out = None) -> None:
    """Put all records of a run, missing results included, into one tidy table (parquet and CSV)."""
    from bench3r.run import paths
    from bench3r.stages.collect import write_tables

    made = _plan(plan)
    write_tables(made, out or paths.collected(made.name))


@app.command(epilog="Example: bench3r report --plan .bench3r/default.json")
def report(plan: PlanFile, out: Out = None) -> None:
    """Write tables and figures to reports/<run>/."""
    from bench3r.run import paths
    from bench3r.stages.report import report as run

    made = _plan(plan)
    target = out or paths.report(made.name)
    text = run(made, paths.collected(made.name), target)
    console.print(text, soft_wrap=True, highlight=False, markup=False)


@app.command("compare", epilog="Example: bench3r compare results/default results/other")
def compare_(
    first: Annotated[Path, typer.Argument(help="results/RUN, its records file, or a bundle")],
    second: Annotated[Path, typer.Argument(help="the same of another run, machine or person")],
    out: Out = None,
) -> None:
    """What got better or worse from the first run to the second, and what is not told apart.

    Only where rules and frames agree.
    """
    from bench3r.exchange.compare import compare
    from bench3r.exchange.source import read_table

    table = compare(read_table(first), read_table(second), (str(first), str(second)))
    console.print(table.markdown(), soft_wrap=True)
    if out:
        table.write(out)


@app.command("merge", epilog="Example: bench3r merge ours.zip theirs.zip --out reports/merged")
def merge_(
    sources: Annotated[
        list[Path], typer.Argument(help="results/RUN folders, records files or bundles")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="folder to write; must be new or empty")
    ] = Path("reports/merged"),
) -> None:
    """Put results of several runs, machines or people in one table.

    Only where rules and frames are the same.
    """
    from bench3r.exchange.merge import read_sources, write_merged

    tables = write_merged(read_sources(sources), out)
    console.print(f"{out / 'merged.md'}: {len(tables)} tables from {len(sources)} sources")


@app.command("export", epilog="Example: bench3r export --plan .bench3r/default.json --out ours.zip")
def export_(
    plan: Annotated[
        Path | None, typer.Option("--plan", help="plan file of the run (.bench3r/RUN.json)")
    ] = None,
    out: Out = None,
    verify: Annotated[
        Path | None, typer.Option(help="check a bundle instead of writing one")
    ] = None,
) -> None:
    """Write a bundle of a run (configuration, plan, records, hashes) for others.

    They can verify it and compare it with theirs.
    """
    from bench3r.exchange import bundle

    if verify is not None:
        manifest = bundle.verify(verify)
        files = f"{len(manifest.sha256)} files, all as they were written"
        console.print(f"{verify}: run {manifest.run}, {files}")
        return
    if plan is None:
        raise Bench3RError("export: give --plan, or --verify and a bundle")
    made = _plan(plan)
    target = out or Path(f"{made.name}.zip")
    manifest = bundle.export(made, target)
    missing = f"{len(manifest.missing)} planned ones are missing"
    console.print(f"{target}: {len(manifest.sha256)} files, {missing}")


@app.command(epilog="Example: bench3r parity tests/golden/da3-small.json")
def parity(
    files: Annotated[list[Path], typer.Argument(help="FILE.json with FILE.npz beside it")],
) -> None:
    """Compare with stored outputs of official code; exit 1 when a tolerance is exceeded."""
    from bench3r.parity.check import check_file

    passed = True
    for file in files:
        rows, good = check_file(file)
        _table(str(file), ("array", "largest error", "tolerance", ""), rows)
        passed &= good
    if not passed:
        raise typer.Exit(1)


def main() -> None:
    """Entry point: a user's mistake is one line on stderr and exit code 2, not a traceback."""
    try:
        app()
    except Bench3RError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {_escaped(str(error))}", soft_wrap=True)
        sys.exit(2)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    main()
