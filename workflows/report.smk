report: "captions/workflow.rst"


rule collect:
    """One tidy table of all records."""
    input:
        scores=[str(paths.scored(RUN, c)) for c in PLAN.names("cells")],
        profiles=[str(paths.profiled(RUN, p)) for p in PLAN.names("profiles")],
    output:
        str(paths.collected(RUN)),
    log:
        f"results/logs/{RUN}/collect.log",
    conda:
        "../environment.yml"
    params:
        plan=PLAN_FILE,
        key=PLAN.collect_key,
    shell:
        "python -m bench3r collect --plan {params.plan:q} --out {output:q} > {log:q} 2>&1"


rule report:
    """Tables and figures."""
    input:
        str(paths.collected(RUN)),
    output:
        index=f"reports/{RUN}/index.md",
        page=report(
            f"reports/{RUN}/index.html",
            caption="captions/page.rst",
            category="Everything on one page",
        ),
        figures=report(
            directory(f"reports/{RUN}/figures"),
            patterns=["{figure}.png"],
            caption="captions/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        tables=report(
            directory(f"reports/{RUN}/tables"),
            patterns=["{table}.csv"],
            caption="captions/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
    log:
        f"results/logs/{RUN}/report.log",
    conda:
        "../environment.yml"
    params:
        plan=PLAN_FILE,
        key=PLAN.report_key,
    shell:
        "python -m bench3r report --plan {params.plan:q} --out {output.index:q} > {log:q} 2>&1"
