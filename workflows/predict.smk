rule predict:
    """Run one cell under supervision: a reconstruction and an efficiency record per scene."""
    input:
        data=lambda w: str(paths.prepared(PLAN.cell(w.cell)["dataset"])),
        trained=lambda w: [str(paths.trained(RUN, t)) for t in PLAN.trainings_of(w.cell)],
    output:
        str(paths.predicted(RUN, "{cell}")),
    params:
        key=lambda w: PLAN.key("cells", w.cell),
    log:
        f"results/logs/{RUN}/predict/{{cell}}.log",
    threads: 1
    resources:
        gpu=GPU,
    shell:
        "bench3r predict {wildcards.cell:q} --plan {PLAN_FILE} --threads {threads} --out {output:q} > {log:q} 2>&1"
