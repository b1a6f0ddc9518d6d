"""The ablations ("What drives it"): small chains that differ from one base chain in one setting each."""


use rule warm_up_decoder as warm_up_ablated with:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        weights=main_weights("safetensors"),
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
        warm_up=ablated_warm_up,
        script="warm_up_decoder.py",
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("warm_up_decoder"),


use rule train_transfer as train_ablated with:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        weights=main_weights("safetensors"),
        decoder=ablated_decoder,
        taps=selected_taps,
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
        transfer=ablated_training,
        layers=ablated_layers,
        script="train_transfer.py",
        size_px=lookup("ablations/size_px", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("train_transfer"),


rule measure_ablation:
    input:
        unpack(ablated_generator),
        split="<styles>/split.tsv",
        slices=all_slices(),
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
        arm=f"plain|{ablations.ARM}",
    conda:
        "../envs/ctstyle.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=lookup("gpu", within=config),
    params:
        augment=ablated_augment,
        segment=ABLATIONS.segment,
        size_px=lookup("ablations/size_px", within=config),
        window_hu=lookup("slices/window_hu", within=config),
        compute=lookup("compute", within=config),
        code=fingerprint("measure_ablation"),
    script:
        "../scripts/measure_ablation.py"
