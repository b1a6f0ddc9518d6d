"""From a scan to labelled slices in Hounsfield units on one grid."""


rule cut_scan:
    input:
        unpack(scan_files),
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
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        scan=scan_row,
        slices=lookup("slices", within=config),
        on_bad_scan=lookup("on_bad_scan", within=config),
        code=fingerprint("cut_scan"),
    script:
        "../scripts/cut_scan.py"
