"""The paper's tables and figures (ctstyle.study.outputs), the PDF, and what Snakemake's report shows of them."""


rule draw_figure:
    input:
        unpack(lookup("{name}/inputs", within=FIGURES)),
    output:
        png=report(
            "<paper>/figures/{name}.png",
            caption="../report/figures.rst",
            category=lookup("{name}/category", within=FIGURES),
            subcategory=lookup("{name}/subcategory", within=FIGURES),
            labels=lookup("{name}/labels", within=FIGURES),
        ),
        pdf="<paper>/figures/{name}.pdf",
        record="<provenance>/records/draw_figure/{name}.json",
    log:
        "<logs>/draw_figure/{name}.log",
    benchmark:
        "<benchmarks>/draw_figure/{name}.tsv"
    wildcard_constraints:
        name="|".join(FIGURES),
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        place=lookup("{name}/place", within=FIGURES),
        settings=lookup("{name}/settings", within=FIGURES),
        code=fingerprint("draw_figure", lookup("{name}/place", within=FIGURES)),
    script:
        "../scripts/draw_figure.py"


rule make_table:
    input:
        unpack(lookup("{name}/inputs", within=TABLES)),
    output:
        csv=report(
            "<paper>/tables/{name}.csv",
            caption="../report/tables.rst",
            category=lookup("{name}/category", within=TABLES),
            subcategory=lookup("{name}/subcategory", within=TABLES),
            labels=lookup("{name}/labels", within=TABLES),
        ),
        md="<paper>/tables/{name}.md",
        tex="<paper>/tables/{name}.tex",
        record="<provenance>/records/make_table/{name}.json",
    log:
        "<logs>/make_table/{name}.log",
    benchmark:
        "<benchmarks>/make_table/{name}.tsv"
    wildcard_constraints:
        name="|".join(TABLES),
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        place=lookup("{name}/place", within=TABLES),
        settings=lookup("{name}/settings", within=TABLES),
        code=fingerprint("make_table", lookup("{name}/place", within=TABLES)),
    script:
        "../scripts/make_table.py"


rule write_viewer:
    input:
        split="<styles>/split.tsv",
        slices=ALL_SLICES,
        hu=outputs.fill("<comparison>/{shown}/seed{first}/test.hu.npy", AXES),
        rows=outputs.fill("<comparison>/{shown}/seed{first}/test.tsv", AXES),
        predictions=outputs.fill("<segmentation>/{arm}/seed{first_unet}/predictions.npy", AXES),
    output:
        page=report(
            "<paper>/viewer.html",
            caption="../report/viewer.rst",
            category="5 Encoders and layers: Figures 8 and 9, Table 3",
            subcategory="Choose encoder, loss, augmentation",
            labels={"file": "outputs by encoder, loss and augmentation"},
        ),
        record="<provenance>/records/write_viewer.json",
    log:
        "<logs>/write_viewer.log",
    benchmark:
        "<benchmarks>/write_viewer.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        trainings=outputs.facts(config)["shown trainings"],
        arms=lookup("segment/arms", within=config),
        size_px=lookup("comparison/size_px", within=config),
        slices=lookup("slices", within=config),
        files=file_digests(["ctstyle/paper/viewer.html.j2"], ROOT),
        code=fingerprint("write_viewer"),
    script:
        "../scripts/write_viewer.py"


rule write_answer:
    input:
        table2="<paper>/tables/table2.csv",
        tests="<paper>/tables/tests.csv",
        costs="<paper>/tables/costs.csv",
    output:
        answer=report(
            "<paper>/answer.md",
            caption="../report/answer.rst",
            category="8 The paper",
            subcategory="Documents",
            labels={"file": "is it worth it?"},
        ),
        record="<provenance>/records/write_answer.json",
    log:
        "<logs>/write_answer.log",
    benchmark:
        "<benchmarks>/write_answer.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        facts=outputs.run_facts(config),
        margin_points=lookup("paper/margin_points", within=config),
        code=fingerprint("write_answer"),
    script:
        "../scripts/write_answer.py"


rule print_environment:
    output:
        html=report(
            "<paper>/environment.html",
            caption="../report/environment.rst",
            category="7 Training curves, costs, environment",
            subcategory="Documents",
            labels={"file": "environment and config"},
        ),
        record="<provenance>/records/print_environment.json",
    log:
        "<logs>/print_environment.log",
    benchmark:
        "<benchmarks>/print_environment.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        config=PUBLIC,
        code=fingerprint("print_environment"),
    script:
        "../scripts/print_environment.py"


rule print_paper:
    input:
        tables=collect("<paper>/tables/{table}.{form}", table=TABLES, form=["csv", "md"]),
        figures=collect("<paper>/figures/{figure}.png", figure=FIGURES),
        layers=plan.main_weights(config, "layers.png"),
        answer="<paper>/answer.md",
        root="<provenance>/root.json",
        weights=plan.main_weights(config, "json"),
        trunk=f"<encoders>/{AXES['trunk']}.json",
    output:
        pdf=report(
            "<paper>/paper.pdf",
            caption="../report/paper.rst",
            category="8 The paper",
            subcategory="Documents",
            labels={"file": "the paper"},
        ),
        typ="<paper>/paper.typ",
        record="<provenance>/records/print_paper.json",
    log:
        "<logs>/print_paper.log",
    benchmark:
        "<benchmarks>/print_paper.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        config=PUBLIC,
        facts=outputs.run_facts(config),
        files=file_digests(collect("ctstyle/paper/{name}", name=["paper.typ", "paper.typ.j2", "references.bib"]), ROOT),
        code=fingerprint("print_paper"),
    script:
        "../scripts/print_paper.py"


rule rebuild_paper:
    input:
        PRODUCTS,
        "<paper>/paper.pdf",
        "<provenance>/SHA256SUMS",
