"""What is measured: masks against reference masks, generated slices against content, style and true target."""


rule score_segmentation:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        predictions="<segmentation>/{arm}/seed{seed}/predictions.npy",
        rows="<segmentation>/{arm}/seed{seed}/predictions.tsv",
    output:
        scores="<metrics>/segmentation/{arm}-seed{seed}.tsv",
    log:
        "<logs>/score_segmentation/{arm}-seed{seed}.log",
    benchmark:
        "<benchmarks>/score_segmentation/{arm}-seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        code=fingerprint("score_segmentation"),
    script:
        "../scripts/score_segmentation.py"


rule score_transfer:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        hu="<transfer>/{model}/seed{seed}/test.hu.npy",
        rows="<transfer>/{model}/seed{seed}/test.tsv",
        oracle="<segmentation>/oracle/seed{seed}/unet.safetensors",
        trunk=lpips_trunk("safetensors"),
        about_trunk=lpips_trunk("json"),
    output:
        scores="<metrics>/transfer/{model}-seed{seed}.tsv",
        diversity="<metrics>/transfer/{model}-seed{seed}.diversity.tsv",
    log:
        "<logs>/score_transfer/{model}-seed{seed}.log",
    benchmark:
        "<benchmarks>/score_transfer/{model}-seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=1,
    params:
        metrics=lookup("metrics", within=config),
        segment=lookup("segment/training", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("score_transfer"),
    script:
        "../scripts/score_transfer.py"
