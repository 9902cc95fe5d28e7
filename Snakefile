# Bench3R: methods x datasets x options -> tables. bench3r/run/planner.py plans, the rules carry out.
#   snakemake --cores all                                    the laptop run of config/default.yaml
#   snakemake --cores all --configfile config/NAME.yaml      another run
#   snakemake --cores all --profile slurm                    the full sweep on a cluster
import sys

sys.path.insert(0, str(workflow.basedir))
from bench3r.jobs.onstart import begin
from bench3r.run import paths
from bench3r.run.workflow import last_lines, load_plan

PLAN_FILE, PLAN = load_plan(config, workflow.configfiles)
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
        begin(PLAN, workflow.local_exec)


onsuccess:
    print(f"\n{last_lines(RUN)}")


onerror:
    shell(
        "python -m bench3r collect --plan {PLAN_FILE:q} && python -m bench3r report --plan {PLAN_FILE:q} || true"
    )
    print(
        f"\n{last_lines(RUN)}\nJobs were lost: the report names them. Run again for them."
    )
