"""A trained generator on a scan that no run has seen; a target of its own, asked for by name."""


def stylize_files(wildcards):
    """The content, the bundle, and where they are given the CT that gives the style and the mask."""
    if ASKED is None:
        from ctstyle.apply.plan import require

        try:
            require(config)
        except CTStyleError as error:
            raise WorkflowError(str(error)) from None
    return ASKED.files


def stylized(name):
    """A file of the folder that the stylised series goes to; what is there stays until the new one is whole."""
    path = f"{config['stylize']['output']}/{name}"
    return update(path) if Path(workflow.pathvars.apply(path)).exists() else path


def stylized_series():
    """The new series as one file, and beside it the mask where there is one."""
    if ASKED is None or not ASKED.suffix:
        return {}
    mask = {"mask": stylized(f"mask{ASKED.suffix}")} if ASKED.mask else {}
    return {"series": stylized(f"ct{ASKED.suffix}"), **mask}


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
        style=ASKED.style if ASKED else "",
        guard=lookup("augment/guard", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("stylize"),
    script:
        "../scripts/stylize.py"
