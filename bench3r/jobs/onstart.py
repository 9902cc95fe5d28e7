"""What happens before the first job of a workflow. Light: the Snakefile imports it."""

from __future__ import annotations

from bench3r.jobs import server
from bench3r.run.workflow import WorkflowPlan

PAYS = 12  # cells from which on starting a server (three seconds) pays


def begin(plan: WorkflowPlan, local: bool) -> None:
    """Refuse a run that lacks data or weights; offer ``local`` jobs a server where that pays.

    Raises snakemake's WorkflowError with one line per thing that is missing.
    """
    from snakemake.exceptions import WorkflowError

    missing = plan.missing()
    if missing:
        raise WorkflowError("Nothing was started. Missing:", *missing)
    if local and len(plan.names("cells")) >= PAYS:
        server.start()
