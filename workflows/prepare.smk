rule prepare:
    """Render or check one dataset and write its frame lists."""
    output:
        str(paths.prepared("{dataset}")),
    params:
        key=lambda w: PLAN.key("datasets", w.dataset),
    log:
        "results/logs/prepare/{dataset}.log",
    shell:
        "bench3r prepare {wildcards.dataset} --plan {PLAN_FILE} --out {output} > {log} 2>&1"
