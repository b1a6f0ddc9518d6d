"""From a scan to labelled slices in Hounsfield units on one grid; simulated scans are cut where they are made."""


ruleorder: cut_scan > simulate_scan


rule cut_scan:
    input:
        unpack(lookup("{scan}", within=catalogue.files(SCANS))),
    output:
        hu="<slices>/{scan}.hu.npy",
        labels="<slices>/{scan}.labels.npy",
        rows="<slices>/{scan}.tsv",
        about="<slices>/{scan}.json",
        record="<provenance>/records/cut_scan/{scan}.json",
    log:
        "<logs>/cut_scan/{scan}.log",
    benchmark:
        "<benchmarks>/cut_scan/{scan}.tsv"
    wildcard_constraints:
        scan=catalogue.cut_apart(SCANS),
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        scan=lookup("{scan}", within=ROWS),
        slices=lookup("slices", within=config),
        on_bad_scan=lookup("on_bad_scan", within=config),
        code=fingerprint("cut_scan"),
    script:
        "../scripts/cut_scan.py"


rule gather_slices:
    input:
        slices=collect("<slices>/{scan}.{part}", scan=SCANS.scan, part=["hu.npy", "labels.npy", "tsv", "json"]),
    output:
        hu="<slices>.hu.npy",
        labels="<slices>.labels.npy",
        rows="<slices>.tsv",
        about="<slices>.json",
        record="<provenance>/records/gather_slices.json",
    log:
        "<logs>/gather_slices.log",
    benchmark:
        "<benchmarks>/gather_slices.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        code=fingerprint("gather_slices"),
    script:
        "../scripts/gather_slices.py"
