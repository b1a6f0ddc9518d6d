"""Where CT comes from: virtual patients, one real scan out of a package index, and public collections."""


rule measure_beams:
    output:
        beams="<cohorts>/phantom/beams.json",
        record="<provenance>/records/measure_beams.json",
    log:
        "<logs>/measure_beams.log",
    benchmark:
        "<benchmarks>/measure_beams.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        phantom=lookup("phantom", within=config),
        code=fingerprint("measure_beams"),
    script:
        "../scripts/measure_beams.py"


rule simulate_scan:
    input:
        beams="<cohorts>/phantom/beams.json",
    output:
        scan="<cohorts>/phantom/{patient}-{scanner}.zip",
        hu="<slices>/{patient}-{scanner}.hu.npy",
        labels="<slices>/{patient}-{scanner}.labels.npy",
        rows="<slices>/{patient}-{scanner}.tsv",
        about="<slices>/{patient}-{scanner}.json",
        record="<provenance>/records/simulate_scan/{patient}-{scanner}.json",
    log:
        "<logs>/simulate_scan/{patient}-{scanner}.log",
    benchmark:
        "<benchmarks>/simulate_scan/{patient}-{scanner}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        phantom=lookup("phantom", within=config),
        scan=lookup("{patient}-{scanner}", within=ROWS),
        slices=lookup("slices", within=config),
        on_bad_scan=lookup("on_bad_scan", within=config),
        code=fingerprint("simulate_scan"),
    script:
        "../scripts/simulate_scan.py"


rule fetch_lidc0001:
    output:
        ct="<cohorts>/lidc0001/ct.zip",
        labels="<cohorts>/lidc0001/labels.nii.gz",
        record="<provenance>/records/fetch_lidc0001.json",
    log:
        "<logs>/fetch_lidc0001.log",
    benchmark:
        "<benchmarks>/fetch_lidc0001.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        wheels=lookup("wheels", within=config),
        code=fingerprint("fetch_lidc0001"),
    script:
        "../scripts/fetch_lidc0001.py"


rule fetch_spine_mets:
    output:
        series="<cohorts>/spine_mets/{case}.zip",
        record="<provenance>/records/fetch_spine_mets/{case}.json",
    log:
        "<logs>/fetch_spine_mets/{case}.log",
    benchmark:
        "<benchmarks>/fetch_spine_mets/{case}.tsv"
    wildcard_constraints:
        case=r"\w+",
    retries: 2
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        pinned=lookup("spine_mets/{case}", within=PINNED),
        address=lookup("spine_mets/address", within=config),
        code=fingerprint("fetch_spine_mets"),
    script:
        "../scripts/fetch_spine_mets.py"


rule fetch_volumes:
    output:
        ct="<cohorts>/{collection}/{case}/ct.nii.gz",
        labels="<cohorts>/{collection}/{case}/labels.nii.gz",
        licence="<cohorts>/{collection}/{case}/LICENCE.txt",
        record="<provenance>/records/fetch_volumes/{collection}/{case}.json",
    log:
        "<logs>/fetch_volumes/{collection}/{case}.log",
    benchmark:
        "<benchmarks>/fetch_volumes/{collection}/{case}.tsv"
    wildcard_constraints:
        collection="|".join(COLLECTIONS),
        case=r"[\w-]+",
    retries: 2
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        pinned=lookup("{collection}/{case}", within=PINNED),
        address=lookup("{collection}/address", within=config),
        place=lookup("{collection}/fetch", within=COLLECTIONS),
        code=fingerprint("fetch_volumes", lookup("{collection}/fetch", within=COLLECTIONS)),
    script:
        "../scripts/fetch_volumes.py"


rule list_collection:
    output:
        scans="<cohorts>/{collection}.tsv",
        record="<provenance>/records/list_collection/{collection}.json",
    log:
        "<logs>/list_collection/{collection}.log",
    benchmark:
        "<benchmarks>/list_collection/{collection}.tsv"
    wildcard_constraints:
        collection="|".join(COLLECTIONS),
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        settings=lookup("{collection}", within=config),
        place=lookup("{collection}/list", within=COLLECTIONS),
        code=fingerprint("list_collection", lookup("{collection}/list", within=COLLECTIONS)),
    script:
        "../scripts/list_collection.py"
