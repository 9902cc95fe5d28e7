rule prepare:
    """Render or check one dataset and write its frame lists."""
    output:
        str(paths.prepared("{dataset}")),
    log:
        "results/logs/prepare/{dataset}.log",
    conda:
        "../environment.yml"
    params:
        plan=PLAN_FILE,
        key=lambda w: PLAN.key("datasets", w.dataset),
    shell:
        "python -m bench3r prepare {wildcards.dataset:q} --plan {params.plan:q} --out {output:q} > {log:q} 2>&1"
