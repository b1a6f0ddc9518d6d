"""The grey-scale styles of the cohort, and which patients train, tune and test."""


rule find_styles:
    input:
        slices=ALL_SLICES,
    output:
        styles="<styles>/styles.tsv",
        split="<styles>/split.tsv",
        record="<provenance>/records/find_styles.json",
    log:
        "<logs>/find_styles.log",
    benchmark:
        "<benchmarks>/find_styles.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        scans=SCANS.to_dict("records"),
        styles=lookup("styles", within=config),
        split=lookup("split", within=config),
        lending=lookup("lending", within=config),
        must_lend="transductive" in config["segment"]["arms"],
        window_hu=lookup("slices/window_hu", within=config),
        code=fingerprint("find_styles"),
    script:
        "../scripts/find_styles.py"
