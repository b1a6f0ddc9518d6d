"""The ablations ("What drives it"): small chains that differ from one base chain in one setting each."""


use rule warm_up_decoder as warm_up_ablated with:
    input:
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
        weights=plan.main_weights(config),
    output:
        decoder="<ablations>/warmup/{size}px-stride{stride}/seed{seed}.safetensors",
        history="<ablations>/warmup/{size}px-stride{stride}/seed{seed}.history.tsv",
        cost="<ablations>/warmup/{size}px-stride{stride}/seed{seed}.cost.json",
        record="<provenance>/records/warm_up_ablated/{size}px-stride{stride}-seed{seed}.json",
    log:
        "<logs>/warm_up_ablated/{size}px-stride{stride}-seed{seed}.log",
    benchmark:
        "<benchmarks>/warm_up_ablated/{size}px-stride{stride}-seed{seed}.tsv"
    params:
        warm_up=lookup("small_warm_ups/{stride}", within=PLAN),
        script="warm_up_decoder.py",
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("warm_up_decoder"),


use rule train_transfer as train_ablated with:
    input:
        unpack(patterns("points/{point}/inputs", within=PLAN)),
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
    output:
        generator="<ablations>/{model}/{point}/seed{seed}/generator.safetensors",
        history="<ablations>/{model}/{point}/seed{seed}/transfer.tsv",
        cost="<ablations>/{model}/{point}/seed{seed}/cost.json",
        record="<provenance>/records/train_ablated/{model}-{point}-seed{seed}.json",
    log:
        "<logs>/train_ablated/{model}-{point}-seed{seed}.log",
    benchmark:
        "<benchmarks>/train_ablated/{model}-{point}-seed{seed}.tsv"
    params:
        place=lookup("models/{model}/place", within=PLAN),
        settings=lookup("points/{point}/training", within=PLAN),
        told=lookup("points/{point}/told", within=PLAN),
        script="train_transfer.py",
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("train_transfer", lookup("models/{model}/place", within=PLAN)),


rule measure_ablation:
    input:
        unpack(patterns("points/{point}/{arm}/inputs", within=PLAN)),
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
    output:
        segmentation="<ablations>/{arm}/{point}/seed{seed}/segmentation.tsv",
        structure="<ablations>/{arm}/{point}/seed{seed}/structure.tsv",
        painted="<ablations>/{arm}/{point}/seed{seed}/painted.tsv",
        history="<ablations>/{arm}/{point}/seed{seed}/unet.tsv",
        record="<provenance>/records/measure_ablation/{arm}-{point}-seed{seed}.json",
    log:
        "<logs>/measure_ablation/{arm}-{point}-seed{seed}.log",
    benchmark:
        "<benchmarks>/measure_ablation/{arm}-{point}-seed{seed}.tsv"
    wildcard_constraints:
        arm=f"plain|{plan.ablations.ARM}",
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        augment=lookup("points/{point}/{arm}/augment", within=PLAN),
        segment=lookup("small_segment", within=PLAN),
        size_px=lookup("ablations/size_px", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("measure_ablation"),
    script:
        "../scripts/measure_ablation.py"
