# Bench3R: methods x datasets x options -> tables. The grid is planned in bench3r/run/plan.py; the rules only carry it out.
#   snakemake --cores all                                    the laptop run of config/default.yaml
#   snakemake --cores all --configfile config/NAME.yaml      another run
#   snakemake --cores all --profile slurm                    the full sweep on a cluster
import sys

sys.path.insert(0, str(workflow.basedir))
from bench3r.run import paths
from bench3r.run.workflow import load_plan

PLAN_FILE, PLAN = load_plan(config)
RUN = PLAN.name
GPU = int(PLAN.device == "cuda")


wildcard_constraints:
    dataset="[A-Za-z0-9_]+-[0-9a-f]{8}",
    cell="[^/]+",
    training="[^/]+",
    profile="[^/]+",


include: "workflows/prepare.smk"
include: "workflows/train.smk"
include: "workflows/predict.smk"
include: "workflows/profile.smk"
include: "workflows/score.smk"
include: "workflows/report.smk"


localrules:
    all,
    collect,  # seconds of work: less than a job costs


rule all:
    default_target: True
    input:
        f"reports/{RUN}/index.md",
        [str(paths.scored(RUN, c)) for c in PLAN.names("cells")],
        [str(paths.profiled(RUN, p)) for p in PLAN.names("profiles")],


onstart:
    if workflow.is_main_process:
        PLAN.begin(workflow.local_exec)


onsuccess:
    print(f"\nDone. Read reports/{RUN}/index.md")


onerror:
    shell(
        "python -m bench3r collect --plan {PLAN_FILE:q} && python -m bench3r report --plan {PLAN_FILE:q} || true"
    )
    print(
        f"\nSome jobs were lost; reports/{RUN}/index.md names every hole. Run again to fill them."
    )
