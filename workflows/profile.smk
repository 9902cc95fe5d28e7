rule profile:
    """Measure what one forward pass costs. Takes every core, so that nothing runs beside it."""
    output:
        str(paths.profiled(RUN, "{profile}")),
    log:
        f"results/logs/{RUN}/profile/{{profile}}.log",
    conda:
        "../environment.yml"
    threads: workflow.cores
    resources:
        gpu=GPU,
    params:
        plan=PLAN_FILE,
        key=lambda w: PLAN.key("profiles", w.profile),
    shell:
        "python -m bench3r profile {wildcards.profile:q} --plan {params.plan} --out {output:q} > {log:q} 2>&1"
