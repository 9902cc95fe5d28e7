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
        "python -m bench3r prepare {wildcards.dataset} --plan {params.plan} --out {output} > {log} 2>&1"
