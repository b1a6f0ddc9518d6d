"""Where everything comes from: the manifest of sources, the lineage of every table, and the seal over the whole."""


rule list_sources:
    input:
        series=unlisted(catalogue.sources(SCANS)),
        weights=plan.weight_records(config),
        sheets=unlisted([config["sheet"]] if config["sheet"] else []),
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
        scans=SCANS[["scan", "cohort", "series", "mask", "licence"]].to_dict("records"),
        configs=file_digests(within_checkout(workflow.configfiles, ROOT), ROOT),
        sheet=lookup("sheet", within=config),
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


rule write_crate:
    input:
        PRODUCTS,
        sources="<provenance>/sources.json",
    output:
        crate="<results>/ro-crate-metadata.json",
        workflow=collect("<provenance>/workflow/{file}", file=workflow_files(ROOT)),
        record="<provenance>/records/write_crate.json",
    log:
        "<logs>/write_crate.log",
    benchmark:
        "<benchmarks>/write_crate.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        config=PUBLIC,
        files=file_digests(workflow_files(ROOT), ROOT),
        code=fingerprint("write_crate"),
    script:
        "../scripts/write_crate.py"


rule seal:
    input:
        PRODUCTS,
        sources="<provenance>/sources.json",
        crate="<results>/ro-crate-metadata.json",
    output:
        sums="<provenance>/SHA256SUMS",
        root="<provenance>/root.json",
        products="<provenance>/products.json",
        page=report(
            "<provenance>/root.html",
            caption="../report/seal.rst",
            category="8 The paper",
            subcategory="Documents",
            labels={"file": "the seal of this run"},
        ),
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
