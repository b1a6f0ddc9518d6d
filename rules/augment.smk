"""Labelled slices in other grey scales, made by a generator, and the controls and rivals that need none."""


rule generate_augmentation:
    input:
        unpack(patterns("arms/{arm}/inputs", within=PLAN)),
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
    output:
        hu="<augmented>/{arm}/seed{seed}.hu.npy",
        labels="<augmented>/{arm}/seed{seed}.labels.npy",
        rows="<augmented>/{arm}/seed{seed}.tsv",
        record="<provenance>/records/generate_augmentation/{arm}-seed{seed}.json",
    log:
        "<logs>/generate_augmentation/{arm}-seed{seed}.log",
    benchmark:
        "<benchmarks>/generate_augmentation/{arm}-seed{seed}.tsv"
    wildcard_constraints:
        arm="|".join(arms_with("generator")),
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    resources:
        gpu=lookup("gpu", within=config),
    params:
        augment=lookup("arms/{arm}/augment", within=PLAN),
        model=lookup("arms/{arm}/model", within=PLAN),
        lent=lookup("arms/{arm}/lent", within=PLAN),
        window_hu=lookup("slices/window_hu", within=config),
        code=fingerprint("generate_augmentation"),
    script:
        "../scripts/generate_augmentation.py"


rule make_control:
    input:
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
    output:
        hu="<augmented>/{arm}/seed{seed}.hu.npy",
        labels="<augmented>/{arm}/seed{seed}.labels.npy",
        rows="<augmented>/{arm}/seed{seed}.tsv",
        record="<provenance>/records/make_control/{arm}-seed{seed}.json",
    log:
        "<logs>/make_control/{arm}-seed{seed}.log",
    benchmark:
        "<benchmarks>/make_control/{arm}-seed{seed}.tsv"
    wildcard_constraints:
        arm="|".join(arms_with("painter")),
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        augment=lookup("arms/{arm}/augment", within=PLAN),
        model=lookup("arms/{arm}/model", within=PLAN),
        window_hu=lookup("slices/window_hu", within=config),
        code=fingerprint("make_control"),
    script:
        "../scripts/make_control.py"
