rule profile:
    """Measure what one forward pass costs. Takes every core, so that nothing runs beside it."""
    input:
        data=lambda w: str(paths.prepared(PLAN.entry("profiles", w.profile)["dataset"])),
        trained=lambda w: [
            str(paths.trained(RUN, t))
            for t in PLAN.trainings_of("profiles", w.profile)
        ],
    output:
        str(paths.profiled(RUN, "{profile}")),
    log:
        f"results/logs/{RUN}/profile/{{profile}}.log",
    conda:
        "../environment.yml"
    threads: workflow.resource_settings.cores or 1
    resources:
        gpu=GPU,
    params:
        plan=PLAN_FILE,
        key=lambda w: PLAN.key("profiles", w.profile),
    shell:
        "python -m bench3r profile {wildcards.profile:q} --plan {params.plan:q} --out {output:q} > {log:q} 2>&1"
