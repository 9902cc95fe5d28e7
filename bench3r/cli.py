"""The command line. Every stage of the workflow is a subcommand that a person can type."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench3r.api.errors import Bench3RError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Benchmark of efficient feed-forward 3D reconstruction. Exit codes: 0 done, 1 a check failed, 2 bad input.",
)
console = Console()

WITH_TORCH = "BENCH3R_PLAN_WITH_TORCH"  # set when planning starts again with the real torch

PlanFile = Annotated[Path, typer.Option("--plan", help="plan made by `bench3r plan`")]
Out = Annotated[
    Path | None, typer.Option("--out", help="output file; the usual place when left out")
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads")]


def _plan(path: Path):
    from bench3r.files import read_json
    from bench3r.run.plan import Plan

    return Plan.model_validate(read_json(path))


def _claim_gpu(plan: Any) -> None:
    """A GPU of its own for a job of a run on GPUs."""
    from bench3r.jobs.gpus import claim

    if plan.config["device"] == "cuda":
        claim()


@app.command("list", epilog="Example: bench3r list --methods")
def list_(
    methods: Annotated[bool, typer.Option("--methods")] = False,
    backbones: Annotated[bool, typer.Option("--backbones")] = False,
    datasets: Annotated[bool, typer.Option("--datasets")] = False,
    protocols: Annotated[bool, typer.Option("--protocols")] = False,
    frame_lists: Annotated[bool, typer.Option("--frame-lists")] = False,
) -> None:
    """Print methods, backbones, datasets, protocols and frame lists by name (all, or those asked for)."""
    from bench3r.stages.listing import sections

    asked = {
        "methods": methods,
        "backbones": backbones,
        "datasets": datasets,
        "protocols": protocols,
        "frame lists": frame_lists,
    }
    for title, columns, rows in sections([k for k, v in asked.items() if v] or list(asked)):
        table = Table(title=title, title_justify="left")
        for i, column in enumerate(columns):
            table.add_column(column, no_wrap=i == 0, overflow="fold")  # names are never cut
        for row in rows:
            table.add_row(*row)
        console.print(table)


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
    """Expand a configuration into cells; print their number and the disk that predictions may take."""
    from bench3r.files import write_json
    from bench3r.run.torch_stub import leave_torch_out

    with_stand_ins = not os.environ.get(WITH_TORCH) and leave_torch_out()
    warned: list[warnings.WarningMessage] = []
    try:
        from bench3r.run.config import load_config
        from bench3r.run.plan import make_plan

        with warnings.catch_warnings(record=True) as warned:
            made = make_plan(load_config(config))
        if warned and with_stand_ins:
            raise RuntimeError("a plug-in may be broken for want of torch alone")
    except Exception:
        if not with_stand_ins:
            raise
        os.environ[WITH_TORCH] = (
            "1"  # a plug-in computes while it is planned, or there is a mistake to be named: once more
        )
        os.execv(
            sys.executable,
            [
                sys.executable,
                "-m",
                "bench3r",
                "plan",
                "--config",
                str(config),
                *(["--out", str(out)] if out else []),
            ],
        )
    for one in warned:
        Console(stderr=True).print(f"warning: {_escaped(str(one.message))}", soft_wrap=True)
    target = out or Path(".bench3r") / f"{made.config['name']}.json"
    write_json(target, made.model_dump(mode="json"))
    console.print(
        f"{len(made.cells)} cells, {len(made.datasets)} datasets, {len(made.trainings)} trainings, "
        f"{len(made.profiles)} profiles; predictions take at most {made.prediction_bytes / 1e6:.1f} MB; "
        f"plan: {target}"
    )


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
    """Validate a whole data root, or prepare a dataset of a plan, or render a procedural one, with frame lists."""
    if plan is None and root != "procedural":
        _validate(dataset, Path(root), scenes, every, workers, out)
        return
    from bench3r.run import paths
    from bench3r.run.config import DatasetConfig
    from bench3r.run.plan import adhoc_dataset
    from bench3r.stages.prepare import prepare as run

    if plan is not None:
        entry = _plan(plan).dataset(dataset)
    else:
        entry = adhoc_dataset(
            dataset,
            DatasetConfig(root=root, scenes=scenes or 10, views=max(views, *frames)),
            frames,
        )
    result = run(entry, out or paths.prepared(entry.id), paths.data_folder(entry.id))
    failed = {k: v["note"] for k, v in result["checks"].items() if not v["ok"]}
    console.print(
        f"{entry.name}: {len(result['checks'])} scenes, {len(failed)} broken, root {result['root']}"
    )
    for name, note in failed.items():
        console.print(f"  {name}: {note}")


def _validate(
    name: str, root: Path, scenes: int | None, every: int, workers: int, out: Path | None
) -> None:
    """Check a data root; exit 1 when something is wrong with a scene."""
    from bench3r.data.validate import SHOWN, validate
    from bench3r.run import paths

    target = out or paths.RESULTS / "data" / f"{name}-validation.json"
    result = validate(name, root, target, scenes, every, workers)
    table = Table(title=f"{name}: {result['root']}", title_justify="left")
    for column in (
        "scene",
        "frames",
        "read",
        "sizes",
        "depth",
        "surface",
        "reprojection",
        "problems",
    ):
        table.add_column(
            column,
            no_wrap=column == "scene",
            justify="left" if column in ("scene", "sizes") else "right",
        )
    for row in result["details"]:
        depth, gate = row.get("depth_coverage"), row["gate"]
        table.add_row(
            row["scene"],
            str(row["frames"]),
            str(row["read"]),
            ", ".join(row.get("sizes", [])),
            f"{depth:.0%}" if depth is not None else "–",
            f"{row['surface']:,}" if row.get("surface") else "–",
            f"{gate:.2%}" if gate is not None else "–",
            str(max(len(row["problems"]), row["unreadable"])),
        )
    console.print(table)
    for row in result["details"]:
        for problem in row["problems"]:
            console.print(f"  {row['scene']}: {problem}", soft_wrap=True)
        if row["unreadable"] > SHOWN:
            console.print(
                f"  {row['scene']}: {row['unreadable']} frames cannot be read; the first {SHOWN} are shown"
            )
    console.print(
        f"{result['scenes']} scenes, {result['frames']} frames with poses, {result['read']} read, "
        f"{len(result['broken'])} scenes with problems; details: {target}"
    )
    if result["broken"]:
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
    """Train a base, or what a method learns. Resumes by itself; start it with torchrun for several processes."""
    import torch

    from bench3r.run import paths
    from bench3r.stages.train import train as run

    torch.set_num_threads(threads)
    made = _plan(plan)
    _claim_gpu(made)
    run(made, name, out or paths.trained(made.config["name"], name), max_minutes * 60)


@app.command(epilog="Example: bench3r predict CELL --plan .bench3r/default.json")
def predict(
    cell: Annotated[str, typer.Argument(help="cell id in the plan")],
    plan: PlanFile,
    out: Out = None,
    threads: Threads = 1,
) -> None:
    """Predict all scenes of a cell under supervision; failures become records. Resumes by itself."""
    from bench3r.jobs.predict import Supervisor
    from bench3r.run import paths

    made = _plan(plan)
    _claim_gpu(made)
    entry, run = made.cell(cell), str(made.config["name"])
    base, fitted = (paths.trained(run, t) if t else None for t in (entry.base, entry.trained))
    supervisor = Supervisor(plan, made, entry, out or paths.predicted(run, cell), threads)
    rows = supervisor.run(paths.prepared(entry.dataset), base, fitted)
    bad = [r for r in rows if r["status"] != "ok"]
    console.print(f"{cell}: {len(rows) - len(bad)} of {len(rows)} scenes ok")
    for reason in sorted({f"  {r['status']}: {r['reason']}" for r in bad}):
        console.print(reason)


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
    """Measure FLOPs, latency and memory of one forward pass, or the most frames that fit; wants the machine to itself.

    With --device meta: count the FLOPs of all methods on all backbones at --scale, from their sizes alone.
    """
    if device:
        _count_published(device, scale, " ".join([frames, *(names or [])]), out)
        return
    if not names or len(names) > 1 or plan is None:
        raise Bench3RError("profile: give one profile id and --plan, or --device meta")
    name = names[0]
    from bench3r.jobs.profile import Measurement
    from bench3r.run import paths

    made = _plan(plan)
    _claim_gpu(made)
    target = out or paths.profiled(made.config["name"], name)
    entry, run = made.profile(name), str(made.config["name"])
    base, fitted = (paths.trained(run, t) if t else None for t in (entry.base, entry.trained))
    record = Measurement(
        plan, made, entry, target, paths.prepared(entry.dataset), base, fitted, threads
    ).run()
    console.print(f"{name}: {record.status} {record.reason}")


def _count_published(device: str, scale: str, frames: str, out: Path | None) -> None:
    """Print the table of FLOPs at ``scale``; with ``out`` write every number as CSV."""
    from bench3r.files import write_text
    from bench3r.report.published import PUBLISHED_FRAMES, published_table

    if device != "meta":
        raise Bench3RError(
            f"profile: --device {device}: only meta counts without a plan; the plan says where others run"
        )
    words = frames.replace(",", " ").split()
    if not all(w.isdigit() for w in words):
        raise Bench3RError(f"profile: --frames {frames}: expected numbers of frames")
    table = published_table(scale, tuple(map(int, words)) or PUBLISHED_FRAMES)
    console.print(table.markdown(), soft_wrap=True)
    if out:
        write_text(out, table.raw.to_csv(index=False))


@app.command(epilog="Example: bench3r score CELL --plan .bench3r/default.json")
def score(
    cell: Annotated[str, typer.Argument(help="cell id in the plan")],
    plan: PlanFile,
    out: Out = None,
    threads: Threads = 1,
) -> None:
    """Score a cell's saved predictions under every protocol of the plan."""
    from bench3r.metrics import clouds
    from bench3r.run import paths
    from bench3r.stages.score import score_cell

    clouds.workers = threads
    made = _plan(plan)
    entry, run = made.cell(cell), str(made.config["name"])
    rows = score_cell(
        made,
        entry,
        paths.predicted(run, cell),
        paths.prepared(entry.dataset),
        out or paths.scored(run, cell),
    )
    console.print(f"{cell}: {len(rows)} score records")


@app.command(epilog="Example: bench3r collect --plan .bench3r/default.json")
def collect(plan: PlanFile, out: Out = None) -> None:
    """Put all records of a run into one tidy table (parquet and CSV), holes included."""
    from bench3r.run import paths
    from bench3r.stages.collect import write_tables

    made = _plan(plan)
    write_tables(made, out or paths.collected(made.config["name"]))


@app.command(epilog="Example: bench3r report --plan .bench3r/default.json")
def report(plan: PlanFile, out: Out = None) -> None:
    """Write tables and figures to reports/<run>/."""
    from bench3r.run import paths
    from bench3r.stages.report import report as run

    made = _plan(plan)
    target = out or Path("reports") / str(made.config["name"]) / "index.md"
    run(made, paths.collected(made.config["name"]), target)
    console.print(f"report: {target}")


@app.command("compare", epilog="Example: bench3r compare results/default results/other")
def compare_(
    first: Annotated[Path, typer.Argument(help="results/RUN, its records file, or a bundle")],
    second: Annotated[Path, typer.Argument(help="the same of another run, machine or person")],
    out: Out = None,
) -> None:
    """What got better, worse or stayed within noise from the first run to the second, where rules and frames agree."""
    from bench3r.exchange.compare import compare, read_records

    table = compare(read_records(first), read_records(second), (str(first), str(second)))
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
    """Put results of several runs, machines or people in one table, where rules and frames are the same."""
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
    """Write a bundle of a run (configuration, plan, records, hashes) that others can verify and compare with theirs."""
    from bench3r.exchange import bundle

    if verify is not None:
        manifest = bundle.verify(verify)
        console.print(
            f"{verify}: run {manifest['run']}, {len(manifest['sha256'])} files, all as they were written"
        )
        return
    if plan is None:
        raise Bench3RError("export: give --plan, or --verify and a bundle")
    made = _plan(plan)
    target = out or Path(f"{made.config['name']}.zip")
    manifest = bundle.export(made, target)
    console.print(
        f"{target}: {len(manifest['sha256'])} files, {len(manifest['missing'])} planned ones are missing"
    )


@app.command(epilog="Example: bench3r parity tests/golden/da3-small.json")
def parity(
    files: Annotated[list[Path], typer.Argument(help="FILE.json with FILE.npz beside it")],
) -> None:
    """Compare this implementation with stored outputs of official code; exit 1 when a gate is missed."""
    from bench3r.parity.check import check_file

    passed = True
    for file in files:
        rows, good = check_file(file)
        table = Table(title=str(file), title_justify="left")
        for i, column in enumerate(("array", "largest error", "gate", "")):
            table.add_column(column, no_wrap=i == 0, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
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
