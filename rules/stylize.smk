"""A trained generator on a scan that no run has seen; a target of its own, asked for by name."""


rule stylize:
    input:
        unpack(stylize_files),
    output:
        # a series of DICOM is not declared: Snakemake would delete its folder; the record names its files
        **stylized_series(),
        rows=stylized("slices.tsv"),
        about=stylized("about.json"),
        picture=stylized("picture.png"),
        # a folder of results of its own: the audit of the run that it may lie in passes it over
        record=stylized("provenance/records/stylize.json"),
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
        style=stylize_style(),
        guard=lookup("augment/guard", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("stylize"),
    script:
        "../scripts/stylize.py"
