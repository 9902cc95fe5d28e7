rule predict:
    """Run one cell under supervision: a reconstruction and an efficiency record per scene."""
    input:
        data=lambda w: str(paths.prepared(PLAN.entry("cells", w.cell)["dataset"])),
        trained=lambda w: [
            str(paths.trained(RUN, t)) for t in PLAN.trainings_of("cells", w.cell)
        ],
    output:
        str(paths.predicted(RUN, "{cell}")),
    log:
        f"results/logs/{RUN}/predict/{{cell}}.log",
    conda:
        "../environment.yml"
    threads: 1
    resources:
        gpu=GPU,
    params:
        plan=PLAN_FILE,
        key=lambda w: PLAN.key("cells", w.cell),
    shell:
        "python -m bench3r predict {wildcards.cell:q} --plan {params.plan:q} --threads {threads} --out {output:q} > {log:q} 2>&1"
