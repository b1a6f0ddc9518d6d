"""The small trainings that compare encoders, style weights and layer lists, each with its scores on test slices.

Training and scores are one job: scoring takes seconds, starting a process for it as long.
"""


rule train_compared:
    input:
        unpack(patterns("taps/{layers}", within=PLAN)),
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
        weights="<encoders>/{encoder}/{weights}.safetensors",
        decoder=f"<transfer>/warmup/{{encoder}}-{{weights}}-{config['comparison']['size_px']}px/seed{{seed}}.safetensors",
    output:
        generator="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/generator.safetensors",
        history="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/history.tsv",
        cost="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/cost.json",
        hu="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/test.hu.npy",
        rows="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/test.tsv",
        scores="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/scores.tsv",
        record="<provenance>/records/train_compared/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}-seed{seed}.json",
    log:
        "<logs>/train_compared/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}-seed{seed}.log",
    benchmark:
        "<benchmarks>/train_compared/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}-seed{seed}.tsv"
    wildcard_constraints:
        model="ours|adain",
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        transfer=lookup("compared/{smoothing}-w{style_weight}", within=PLAN),
        size_px=lookup("comparison/size_px", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("train_compared"),
    script:
        "../scripts/train_compared.py"
