"""Where CT comes from: virtual patients, and one real scan out of a package index."""


rule make_patient:
    output:
        patient="<cohorts>/phantom/{patient}.npz",
        record="<provenance>/records/make_patient/{patient}.json",
    log:
        "<logs>/make_patient/{patient}.log",
    benchmark:
        "<benchmarks>/make_patient/{patient}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        phantom=lookup("phantom", within=config),
        code=fingerprint("make_patient"),
    script:
        "../scripts/make_patient.py"


rule scan_patient:
    input:
        patient="<cohorts>/phantom/{patient}.npz",
    output:
        scan="<cohorts>/phantom/{patient}-{scanner}.zip",
        record="<provenance>/records/scan_patient/{patient}-{scanner}.json",
    log:
        "<logs>/scan_patient/{patient}-{scanner}.log",
    benchmark:
        "<benchmarks>/scan_patient/{patient}-{scanner}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        phantom=lookup("phantom", within=config),
        code=fingerprint("scan_patient"),
    script:
        "../scripts/scan_patient.py"


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
        pinned=pinned_series,
        address=lookup("spine_mets/address", within=config),
        code=fingerprint("fetch_spine_mets"),
    script:
        "../scripts/fetch_spine_mets.py"
