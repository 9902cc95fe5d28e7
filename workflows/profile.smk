rule profile:
    """Measure what one forward pass costs. Takes every core, so that nothing runs beside it."""
    output:
        str(paths.profiled(RUN, "{profile}")),
    params:
        key=lambda w: PLAN.key("profiles", w.profile),
    log:
        f"results/logs/{RUN}/profile/{{profile}}.log",
    threads: workflow.cores
    resources:
        gpu=GPU,
    shell:
        "bench3r profile {wildcards.profile:q} --plan {PLAN_FILE} --out {output:q} > {log:q} 2>&1"
