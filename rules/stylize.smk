"""A trained generator on a scan that no run has seen; a target of its own, asked for by name."""


rule stylize:
    input:
        unpack(told("ctstyle.apply.plan:files")),
    output:
        # a series of DICOM is not declared: Snakemake would delete its folder; the record names its files
        **STYLIZED,
    log:
        "<logs>/stylize.log",
    benchmark:
        "<benchmarks>/stylize.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        stylize=lookup("stylize", within=config),
        style=ASKED.style if ASKED else "",
        guard=lookup("augment/guard", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("stylize"),
    script:
        "../scripts/stylize.py"
