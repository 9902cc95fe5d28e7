rule train:
    """Train a base, or what a method learns from training scenes."""
    output:
        str(paths.trained(RUN, "{training}")),
    log:
        f"results/logs/{RUN}/train/{{training}}.log",
    conda:
        "../environment.yml"
    resources:
        gpu=GPU,
    params:
        plan=PLAN_FILE,
        key=lambda w: PLAN.key("trainings", w.training),
    shell:
        "python -m bench3r train {wildcards.training:q} --plan {params.plan} --out {output:q} > {log:q} 2>&1"
