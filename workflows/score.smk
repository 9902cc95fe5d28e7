rule score:
    """Score a cell's saved predictions under every protocol."""
    input:
        data=lambda w: str(paths.prepared(PLAN.cell(w.cell)["dataset"])),
        predicted=str(paths.predicted(RUN, "{cell}")),
    output:
        str(paths.scored(RUN, "{cell}")),
    params:
        key=PLAN.score_key,
    log:
        f"results/logs/{RUN}/score/{{cell}}.log",
    shell:
        "bench3r score {wildcards.cell:q} --plan {PLAN_FILE} --out {output:q} > {log:q} 2>&1"
