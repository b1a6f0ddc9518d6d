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
        scan=simulated_row,
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
        pinned=pinned_series,
        address=lookup("spine_mets/address", within=config),
        code=fingerprint("fetch_spine_mets"),
    script:
        "../scripts/fetch_spine_mets.py"


rule fetch_verse:
    output:
        ct="<cohorts>/verse/{case}/ct.nii.gz",
        labels="<cohorts>/verse/{case}/labels.nii.gz",
        licence="<cohorts>/verse/{case}/LICENCE.txt",
        record="<provenance>/records/fetch_verse/{case}.json",
    log:
        "<logs>/fetch_verse/{case}.log",
    benchmark:
        "<benchmarks>/fetch_verse/{case}.tsv"
    wildcard_constraints:
        case=r"[\w-]+",
    retries: 2
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        pinned=pinned_scan,
        address=lookup("verse/address", within=config),
        code=fingerprint("fetch_verse"),
    script:
        "../scripts/fetch_verse.py"


rule list_verse:
    output:
        scans="<cohorts>/verse.tsv",
        record="<provenance>/records/list_verse.json",
    log:
        "<logs>/list_verse.log",
    benchmark:
        "<benchmarks>/list_verse.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        verse=lookup("verse", within=config),
        code=fingerprint("list_verse"),
    script:
        "../scripts/list_verse.py"


rule fetch_totalsegmentator:
    output:
        ct="<cohorts>/totalsegmentator/{case}/ct.nii.gz",
        labels="<cohorts>/totalsegmentator/{case}/labels.nii.gz",
        licence="<cohorts>/totalsegmentator/{case}/LICENCE.txt",
        record="<provenance>/records/fetch_totalsegmentator/{case}.json",
    log:
        "<logs>/fetch_totalsegmentator/{case}.log",
    benchmark:
        "<benchmarks>/fetch_totalsegmentator/{case}.tsv"
    wildcard_constraints:
        case=r"[\w-]+",
    retries: 2
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        pinned=pinned_subject,
        address=lookup("totalsegmentator/address", within=config),
        code=fingerprint("fetch_totalsegmentator"),
    script:
        "../scripts/fetch_totalsegmentator.py"


rule list_totalsegmentator:
    output:
        scans="<cohorts>/totalsegmentator.tsv",
        record="<provenance>/records/list_totalsegmentator.json",
    log:
        "<logs>/list_totalsegmentator.log",
    benchmark:
        "<benchmarks>/list_totalsegmentator.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        totalsegmentator=lookup("totalsegmentator", within=config),
        code=fingerprint("list_totalsegmentator"),
    script:
        "../scripts/list_totalsegmentator.py"
