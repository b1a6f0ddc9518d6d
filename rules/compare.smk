"""The small trainings that compare encoders, style weights and layer lists, and their scores on test slices."""


use rule train_transfer as train_compared with:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        weights="<encoders>/{encoder}/{weights}.safetensors",
        decoder=warm_up_of("{encoder}", "{weights}", config["comparison"]["size_px"]),
        taps=selected_taps,
    output:
        generator="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/generator.safetensors",
        history="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/history.tsv",
        cost="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/cost.json",
        record="<provenance>/records/train_compared/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}-seed{seed}.json",
    log:
        "<logs>/train_compared/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}-seed{seed}.log",
    benchmark:
        "<benchmarks>/train_compared/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}-seed{seed}.tsv"
    params:
        transfer=compared_settings,
        layers="{layers}",
        script="train_transfer.py",
        size_px=lookup("comparison/size_px", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("train_transfer"),


rule score_compared:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        weights="<encoders>/{encoder}/{weights}.safetensors",
        generator="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/generator.safetensors",
    output:
        hu="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/test.hu.npy",
        rows="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/test.tsv",
        scores="<comparison>/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}/seed{seed}/scores.tsv",
        record="<provenance>/records/score_compared/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}-seed{seed}.json",
    log:
        "<logs>/score_compared/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}-seed{seed}.log",
    benchmark:
        "<benchmarks>/score_compared/{encoder}-{weights}/{model}-{layers}-{smoothing}-w{style_weight}-seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        size_px=lookup("comparison/size_px", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("score_compared"),
    script:
        "../scripts/score_compared.py"
