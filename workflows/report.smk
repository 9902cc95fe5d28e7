rule collect:
    """One tidy table of all records."""
    input:
        scores=[str(paths.scored(RUN, c)) for c in PLAN.names("cells")],
        profiles=[str(paths.profiled(RUN, p)) for p in PLAN.names("profiles")],
    output:
        str(paths.collected(RUN)),
    params:
        cells=PLAN.names("cells"),
    log:
        f"results/logs/{RUN}/collect.log",
    shell:
        "bench3r collect --plan {PLAN_FILE} --out {output:q} > {log:q} 2>&1"


rule report:
    """Tables and figures."""
    input:
        str(paths.collected(RUN)),
    output:
        f"reports/{RUN}/index.md",
    params:
        key=PLAN.report_key,
    log:
        f"results/logs/{RUN}/report.log",
    shell:
        "bench3r report --plan {PLAN_FILE} --out {output:q} > {log:q} 2>&1"
