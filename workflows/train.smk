rule train:
    """Train a base, or what a method learns from training scenes."""
    input:
        lambda w: [
            str(paths.trained(RUN, t))
            for t in PLAN.trainings_of("trainings", w.training)
        ],
    output:
        str(paths.trained(RUN, "{training}")),
    log:
        f"results/logs/{RUN}/train/{{training}}.log",
    conda:
        "../environment.yml"
    threads: lambda w: PLAN.processes(w.training)
    resources:
        gpu=lambda w: GPU * PLAN.processes(w.training),
        nodes=1,  # where it takes several GPUs, they are those of one node
    params:
        launcher=lambda w: PLAN.launcher(w.training),
        plan=PLAN_FILE,
        key=lambda w: PLAN.key("trainings", w.training),
    shell:
        "{params.launcher} -m bench3r train {wildcards.training:q} --plan {params.plan:q} --out {output:q} > {log:q} 2>&1"
