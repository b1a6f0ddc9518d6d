"""What is measured of generated slices, against content, style and true target."""


rule score_transfer:
    input:
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
        hu="<transfer>/{model}/seed{seed}/test.hu.npy",
        rows="<transfer>/{model}/seed{seed}/test.tsv",
        oracle="<segmentation>/oracle/seed{seed}/unet.safetensors",
        trunk=f"<encoders>/{AXES['trunk']}.safetensors",
        about_trunk=f"<encoders>/{AXES['trunk']}.json",
        classifier="<metrics>/classifier/inception.safetensors",
    output:
        scores="<metrics>/transfer/{model}-seed{seed}.tsv",
        diversity="<metrics>/transfer/{model}-seed{seed}.diversity.tsv",
        cis="<metrics>/cis/{model}-seed{seed}.tsv",
        probabilities="<metrics>/cis/{model}-seed{seed}.probabilities.tsv",
        record="<provenance>/records/score_transfer/{model}-seed{seed}.json",
    log:
        "<logs>/score_transfer/{model}-seed{seed}.log",
    benchmark:
        "<benchmarks>/score_transfer/{model}-seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        metrics=lookup("metrics", within=config),
        segment=lookup("segment/training", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("score_transfer"),
    script:
        "../scripts/score_transfer.py"


rule fetch_inception:
    output:
        weights="<encoders>/inception_v3.safetensors",
        record="<provenance>/records/fetch_inception.json",
    log:
        "<logs>/fetch_inception.log",
    benchmark:
        "<benchmarks>/fetch_inception.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        code=fingerprint("fetch_inception"),
    script:
        "../scripts/fetch_inception.py"


rule train_classifier:
    input:
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
        trunk=plan.classifier_trunk(config),
    output:
        classifier="<metrics>/classifier/inception.safetensors",
        about="<metrics>/classifier/inception.json",
        history="<metrics>/classifier/inception.history.tsv",
        record="<provenance>/records/train_classifier.json",
    log:
        "<logs>/train_classifier.log",
    benchmark:
        "<benchmarks>/train_classifier.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        classifier=lookup("metrics/classifier", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("train_classifier"),
    script:
        "../scripts/train_classifier.py"
