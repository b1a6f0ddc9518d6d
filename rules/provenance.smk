"""Where everything comes from: the manifest of sources, the lineage of every table, and the seal over the whole."""


rule list_sources:
    input:
        series=scan_sources(),
        weights=sources_of_weights(),
        configs=config_files(),
    output:
        sources="<provenance>/sources.json",
        record="<provenance>/records/list_sources.json",
    log:
        "<logs>/list_sources.log",
    benchmark:
        "<benchmarks>/list_sources.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        scans=scan_rows(),
        code=fingerprint("list_sources"),
    script:
        "../scripts/list_sources.py"


rule trace_table:
    input:
        table="<paper>/tables/{table}.csv",
        sources="<provenance>/sources.json",
    output:
        lineage="<paper>/tables/{table}.lineage.json",
        record="<provenance>/records/trace_table/{table}.json",
    log:
        "<logs>/trace_table/{table}.log",
    benchmark:
        "<benchmarks>/trace_table/{table}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        code=fingerprint("trace_table"),
    script:
        "../scripts/trace_table.py"


rule seal:
    input:
        paper_tables(["csv", "md", "tex"]),
        collect("<paper>/tables/{table}.lineage.json", table=table_names()),
        paper_figures(["png", "pdf"]),
        described("layers.png"),
        environment="<paper>/environment.html",
        sources="<provenance>/sources.json",
    output:
        sums="<provenance>/SHA256SUMS",
        root="<provenance>/root.json",
        record="<provenance>/records/seal.json",
    log:
        "<logs>/seal.log",
    benchmark:
        "<benchmarks>/seal.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        code=fingerprint("seal"),
    script:
        "../scripts/seal.py"
