"""The U-Net of every arm: trained for the same number of steps, applied to the same test slices and scored.

All in one job: applying and scoring take seconds, starting a process for each as long.
"""


rule train_unet:
    input:
        unpack(lookup("arms/{arm}/added/{seed}", within=PLAN)),
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
    output:
        unet="<segmentation>/{arm}/seed{seed}/unet.safetensors",
        history="<segmentation>/{arm}/seed{seed}/history.tsv",
        about="<segmentation>/{arm}/seed{seed}/unet.json",
        predictions="<segmentation>/{arm}/seed{seed}/predictions.npy",
        rows="<segmentation>/{arm}/seed{seed}/predictions.tsv",
        scores="<metrics>/segmentation/{arm}-seed{seed}.tsv",
        record="<provenance>/records/train_unet/{arm}-seed{seed}.json",
    log:
        "<logs>/train_unet/{arm}-seed{seed}.log",
    benchmark:
        "<benchmarks>/train_unet/{arm}-seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        segment=lookup("segment/training", within=config),
        online=lookup("arms/{arm}/online", within=PLAN),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("train_unet"),
    script:
        "../scripts/train_unet.py"
