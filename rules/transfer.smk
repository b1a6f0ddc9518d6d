"""The style-transfer generators: one decoder warmed up, then trained once per model, then applied to test slices."""


rule warm_up_decoder:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        weights=main_weights("safetensors"),
    output:
        decoder="<transfer>/warmup/seed{seed}.safetensors",
        history="<transfer>/warmup/seed{seed}.history.tsv",
    log:
        "<logs>/warm_up_decoder/seed{seed}.log",
    benchmark:
        "<benchmarks>/warm_up_decoder/seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=1,
    params:
        warm_up=lookup("transfer/warm_up", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("warm_up_decoder"),
    script:
        "../scripts/warm_up_decoder.py"


rule train_transfer:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        weights=main_weights("safetensors"),
        decoder="<transfer>/warmup/seed{seed}.safetensors",
    output:
        generator="<transfer>/{model}/seed{seed}/generator.safetensors",
        history="<transfer>/{model}/seed{seed}/history.tsv",
    log:
        "<logs>/train_transfer/{model}-seed{seed}.log",
    benchmark:
        "<benchmarks>/train_transfer/{model}-seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=1,
    params:
        transfer=lookup("transfer/training", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("train_transfer"),
    script:
        "../scripts/train_transfer.py"


rule stylise_test:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        weights=main_weights("safetensors"),
        generator="<transfer>/{model}/seed{seed}/generator.safetensors",
    output:
        hu="<transfer>/{model}/seed{seed}/test.hu.npy",
        rows="<transfer>/{model}/seed{seed}/test.tsv",
        styles_hu="<transfer>/{model}/seed{seed}/styles.hu.npy",
        styles_rows="<transfer>/{model}/seed{seed}/styles.tsv",
    log:
        "<logs>/stylise_test/{model}-seed{seed}.log",
    benchmark:
        "<benchmarks>/stylise_test/{model}-seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        alphas=lookup("transfer/alphas", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        code=fingerprint("stylise_test"),
    script:
        "../scripts/stylise_test.py"
