"""The augmented set in the layouts of other tools, one archive per layout, arm and seed."""


rule export_augmented:
    input:
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
        hu="<augmented>/{arm}/seed{seed}.hu.npy",
        labels="<augmented>/{arm}/seed{seed}.labels.npy",
        rows="<augmented>/{arm}/seed{seed}.tsv",
    output:
        archive="<exports>/{layout}/{arm}-seed{seed}.zip",
        record="<provenance>/records/export_augmented/{layout}-{arm}-seed{seed}.json",
    log:
        "<logs>/export_augmented/{layout}-{arm}-seed{seed}.log",
    benchmark:
        "<benchmarks>/export_augmented/{layout}-{arm}-seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        originals=lookup("exports/originals", within=config),
        labels=lookup("exports/labels", within=config),
        every_mm=lookup("slices/every_mm", within=config),
        dataset=lookup("datasets/{layout}/{arm}/{seed}", within=PLAN),
        code=fingerprint("export_augmented"),
    script:
        "../scripts/export_augmented.py"


rule export:
    input:
        told("ctstyle.study.plan:asked_exports"),
        # so that the audit can follow an export to its sources without the rest of the paper
        sources="<provenance>/sources.json",
