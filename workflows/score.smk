rule score:
    """Score a cell's saved predictions under every protocol."""
    input:
        data=lambda w: str(paths.prepared(PLAN.entry("cells", w.cell)["dataset"])),
        predicted=str(paths.predicted(RUN, "{cell}")),
        dense=lambda w: [
            str(paths.predicted(RUN, c))
            for c in [PLAN.entry("cells", w.cell)["reference"]]
            if c
        ],
    output:
        str(paths.scored(RUN, "{cell}")),
    log:
        f"results/logs/{RUN}/score/{{cell}}.log",
    conda:
        "../environment.yml"
    threads: 1
    params:
        plan=PLAN_FILE,
        key=PLAN.score_key,
    shell:
        "python -m bench3r score {wildcards.cell:q} --plan {params.plan:q} --threads {threads} --out {output:q} > {log:q} 2>&1"
