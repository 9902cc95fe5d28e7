rule train:
    """Train a base, or what a method learns from training scenes."""
    output:
        str(paths.trained(RUN, "{training}")),
    params:
        key=lambda w: PLAN.key("trainings", w.training),
    log:
        f"results/logs/{RUN}/train/{{training}}.log",
    resources:
        gpu=GPU,
    shell:
        "bench3r train {wildcards.training:q} --plan {PLAN_FILE} --out {output:q} > {log:q} 2>&1"
