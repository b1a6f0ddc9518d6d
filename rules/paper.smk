"""The paper's tables and figures, and Snakemake's report of them."""


rule make_table1:
    input:
        transfer=of_models("<metrics>/transfer/{model}-seed{seed}.tsv"),
        diversity=of_models("<metrics>/transfer/{model}-seed{seed}.diversity.tsv"),
        weights=main_weights("json"),
        trunk=lpips_trunk("json"),
    output:
        csv=report(
            "<paper>/tables/table1.csv",
            caption="../report/table1.rst",
            category="Table 1: content kept and style reached",
            labels={"file": "table 1 (CSV)"},
        ),
        md="<paper>/tables/table1.md",
        tex="<paper>/tables/table1.tex",
    log:
        "<logs>/make_table1.log",
    benchmark:
        "<benchmarks>/make_table1.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        facts=run_facts(),
        models=lookup("transfer/models", within=config),
        bootstrap=lookup("paper/bootstrap", within=config),
        code=fingerprint("make_table1"),
    script:
        "../scripts/make_table1.py"


rule make_table2:
    input:
        segmentation=of_arms("<metrics>/segmentation/{arm}-seed{seed}.tsv"),
        weights=main_weights("json"),
        trunk=lpips_trunk("json"),
    output:
        csv=report(
            "<paper>/tables/table2.csv",
            caption="../report/table2.rst",
            category="Table 2: segmentation",
            labels={"file": "table 2 (CSV)"},
        ),
        md="<paper>/tables/table2.md",
        tex="<paper>/tables/table2.tex",
    log:
        "<logs>/make_table2.log",
    benchmark:
        "<benchmarks>/make_table2.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        facts=run_facts(),
        bootstrap=lookup("paper/bootstrap", within=config),
        code=fingerprint("make_table2"),
    script:
        "../scripts/make_table2.py"


rule draw_figure4:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
    output:
        png=report(
            "<paper>/figures/figure4.png",
            caption="../report/figure4.rst",
            category="Figure 4: the grey scales",
            labels={"file": "figure 4"},
        ),
        pdf="<paper>/figures/figure4.pdf",
    log:
        "<logs>/draw_figure4.log",
    benchmark:
        "<benchmarks>/draw_figure4.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        slices=lookup("slices", within=config),
        code=fingerprint("draw_figure4"),
    script:
        "../scripts/draw_figure4.py"


rule draw_figure5:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        hu=of_models("<transfer>/{model}/seed{seed}/test.hu.npy", first_seed=True),
        rows=of_models("<transfer>/{model}/seed{seed}/test.tsv", first_seed=True),
    output:
        png=report(
            "<paper>/figures/figure5.png",
            caption="../report/figure5.rst",
            category="Figure 5: outputs of the methods",
            labels={"file": "figure 5"},
        ),
        pdf="<paper>/figures/figure5.pdf",
    log:
        "<logs>/draw_figure5.log",
    benchmark:
        "<benchmarks>/draw_figure5.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        models=lookup("transfer/models", within=config),
        slices=lookup("slices", within=config),
        code=fingerprint("draw_figure5"),
    script:
        "../scripts/draw_figure5.py"


rule draw_figure6:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        hu=of_models("<transfer>/{model}/seed{seed}/styles.hu.npy", first_seed=True),
        rows=of_models("<transfer>/{model}/seed{seed}/styles.tsv", first_seed=True),
    output:
        png=report(
            "<paper>/figures/figure6.png",
            caption="../report/figure6.rst",
            category="Figure 6: several styles from single targets",
            labels={"file": "figure 6"},
        ),
        pdf="<paper>/figures/figure6.pdf",
    log:
        "<logs>/draw_figure6.log",
    benchmark:
        "<benchmarks>/draw_figure6.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        models=lookup("transfer/models", within=config),
        slices=lookup("slices", within=config),
        code=fingerprint("draw_figure6"),
    script:
        "../scripts/draw_figure6.py"


rule draw_figure7:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        predictions=of_arms("<segmentation>/{arm}/seed{seed}/predictions.npy", first_seed=True),
    output:
        png=report(
            "<paper>/figures/figure7.png",
            caption="../report/figure7.rst",
            category="Figure 7: segmentations",
            labels={"file": "figure 7"},
        ),
        pdf="<paper>/figures/figure7.pdf",
    log:
        "<logs>/draw_figure7.log",
    benchmark:
        "<benchmarks>/draw_figure7.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        arms=lookup("segment/arms", within=config),
        slices=lookup("slices", within=config),
        code=fingerprint("draw_figure7"),
    script:
        "../scripts/draw_figure7.py"


rule draw_training_curves:
    input:
        warm_up=of_seeds("<transfer>/warmup/seed{seed}.history.tsv"),
        transfer=of_models("<transfer>/{model}/seed{seed}/history.tsv"),
        unet=of_arms("<segmentation>/{arm}/seed{seed}/history.tsv"),
    output:
        png=report(
            "<paper>/figures/training.png",
            caption="../report/training_curves.rst",
            category="Training curves",
            labels={"file": "training curves"},
        ),
        pdf="<paper>/figures/training.pdf",
    log:
        "<logs>/draw_training_curves.log",
    benchmark:
        "<benchmarks>/draw_training_curves.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        models=lookup("transfer/models", within=config),
        arms=lookup("segment/arms", within=config),
        slices=lookup("slices", within=config),
        code=fingerprint("draw_training_curves"),
    script:
        "../scripts/draw_training_curves.py"


rule draw_style_space:
    input:
        styles="<styles>/styles.tsv",
    output:
        png=report(
            "<paper>/figures/style_space.png",
            caption="../report/style_space.rst",
            category="Figure 4: the grey scales",
            labels={"file": "style space"},
        ),
        pdf="<paper>/figures/style_space.pdf",
    log:
        "<logs>/draw_style_space.log",
    benchmark:
        "<benchmarks>/draw_style_space.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        features=lookup("styles/features", within=config),
        slices=lookup("slices", within=config),
        code=fingerprint("draw_style_space"),
    script:
        "../scripts/draw_style_space.py"


rule print_paper_tables:
    output:
        table1=report(
            "<paper>/tables/table1_printed.csv",
            caption="../report/table1_printed.rst",
            category="Table 1: content kept and style reached",
            labels={"file": "the paper's own numbers"},
        ),
        table2=report(
            "<paper>/tables/table2_printed.csv",
            caption="../report/table2_printed.rst",
            category="Table 2: segmentation",
            labels={"file": "the paper's own numbers"},
        ),
        others=collect("<paper>/tables/table{number}_printed.{form}", number=[1, 2], form=["md", "tex"]),
    log:
        "<logs>/print_paper_tables.log",
    benchmark:
        "<benchmarks>/print_paper_tables.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        code=fingerprint("print_paper_tables"),
    script:
        "../scripts/print_paper_tables.py"


rule rebuild_paper:
    input:
        collect(
            "<paper>/tables/{table}.{form}",
            table=["table1", "table2", "table1_printed", "table2_printed"],
            form=["csv", "md", "tex"],
        ),
        collect(
            "<paper>/figures/{figure}.{form}",
            figure=["figure4", "style_space", "figure5", "figure6", "figure7", "training"],
            form=["png", "pdf"],
        ),
        shown_layers(),
