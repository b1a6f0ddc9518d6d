"""The style-transfer generators: one decoder warmed up, then trained once per model, then applied to test slices."""


rule warm_up_decoder:
    input:
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
        weights="<encoders>/{encoder}/{weights}.safetensors",
    output:
        decoder="<transfer>/warmup/{encoder}-{weights}-{size}px/seed{seed}.safetensors",
        history="<transfer>/warmup/{encoder}-{weights}-{size}px/seed{seed}.history.tsv",
        cost="<transfer>/warmup/{encoder}-{weights}-{size}px/seed{seed}.cost.json",
        record="<provenance>/records/warm_up_decoder/{encoder}-{weights}-{size}px-seed{seed}.json",
    log:
        "<logs>/warm_up_decoder/{encoder}-{weights}-{size}px-seed{seed}.log",
    benchmark:
        "<benchmarks>/warm_up_decoder/{encoder}-{weights}-{size}px-seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        warm_up=lookup("warm_ups/{encoder}-{weights}-{size}px", within=PLAN),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("warm_up_decoder"),
    script:
        "../scripts/warm_up_decoder.py"


rule train_transfer:
    input:
        unpack(patterns("models/{model}/inputs", within=PLAN)),
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
    output:
        generator="<transfer>/{model}/seed{seed}/generator.safetensors",
        history="<transfer>/{model}/seed{seed}/history.tsv",
        cost="<transfer>/{model}/seed{seed}/cost.json",
        record="<provenance>/records/train_transfer/{model}-seed{seed}.json",
    log:
        "<logs>/train_transfer/{model}-seed{seed}.log",
    benchmark:
        "<benchmarks>/train_transfer/{model}-seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        place=lookup("models/{model}/place", within=PLAN),
        settings=lookup("models/{model}/settings", within=PLAN),
        told=lookup("models/{model}/told", within=PLAN),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("train_transfer", lookup("models/{model}/place", within=PLAN)),
    script:
        "../scripts/train_transfer.py"


rule bundle_generator:
    input:
        split="<styles>/split.tsv",
        styles="<styles>/styles.tsv",
        slices=ALL_SLICES,
        weights=plan.main_weights(config),
        about=plan.main_weights(config, "json"),
        generator="<transfer>/{model}/seed{seed}/generator.safetensors",
    output:
        bundle="<transfer>/{model}/seed{seed}.bundle.safetensors",
        record="<provenance>/records/bundle_generator/{model}-seed{seed}.json",
    log:
        "<logs>/bundle_generator/{model}-seed{seed}.log",
    benchmark:
        "<benchmarks>/bundle_generator/{model}-seed{seed}.tsv"
    wildcard_constraints:
        model="ours|adain",
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    resources:
        gpu=lookup("gpu", within=config),
    params:
        slices=lookup("slices", within=config),
        code=fingerprint("bundle_generator"),
    script:
        "../scripts/bundle_generator.py"


rule stylise_test:
    input:
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
        weights=plan.main_weights(config),
        generator="<transfer>/{model}/seed{seed}/generator.safetensors",
    output:
        hu="<transfer>/{model}/seed{seed}/test.hu.npy",
        rows="<transfer>/{model}/seed{seed}/test.tsv",
        styles_hu="<transfer>/{model}/seed{seed}/styles.hu.npy",
        styles_rows="<transfer>/{model}/seed{seed}/styles.tsv",
        cost="<transfer>/{model}/seed{seed}/test.cost.json",
        record="<provenance>/records/stylise_test/{model}-seed{seed}.json",
    log:
        "<logs>/stylise_test/{model}-seed{seed}.log",
    benchmark:
        "<benchmarks>/stylise_test/{model}-seed{seed}.tsv"
    wildcard_constraints:
        model="ours|adain|contextual|cyclegan",
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    resources:
        gpu=lookup("gpu", within=config),
    params:
        alphas=lookup("transfer/alphas", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        code=fingerprint("stylise_test"),
    script:
        "../scripts/stylise_test.py"


rule optimise_gatys:
    input:
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
        weights=plan.main_weights(config),
    output:
        hu="<transfer>/gatys/seed{seed}/test.hu.npy",
        rows="<transfer>/gatys/seed{seed}/test.tsv",
        styles_hu="<transfer>/gatys/seed{seed}/styles.hu.npy",
        styles_rows="<transfer>/gatys/seed{seed}/styles.tsv",
        cost="<transfer>/gatys/seed{seed}/test.cost.json",
        record="<provenance>/records/optimise_gatys/seed{seed}.json",
    log:
        "<logs>/optimise_gatys/seed{seed}.log",
    benchmark:
        "<benchmarks>/optimise_gatys/seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        gatys=lookup("transfer/gatys", within=config),
        alphas=lookup("transfer/alphas", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("optimise_gatys"),
    script:
        "../scripts/optimise_gatys.py"
