"""The paper's tables and figures, its claims, the PDF, and what Snakemake's report shows of them."""


rule draw_architecture:
    output:
        figure1_png=report(
            "<paper>/figures/figure1.png",
            caption="../report/architecture.rst",
            category="1 Method: Figures 1 to 3",
            subcategory="Figures",
            labels={"file": "Figure 1: the whole system"},
        ),
        figure1_pdf="<paper>/figures/figure1.pdf",
        figure2_png=report(
            "<paper>/figures/figure2.png",
            caption="../report/architecture.rst",
            category="1 Method: Figures 1 to 3",
            subcategory="Figures",
            labels={"file": "Figure 2: style transfer network"},
        ),
        figure2_pdf="<paper>/figures/figure2.pdf",
        figure3_png=report(
            "<paper>/figures/figure3.png",
            caption="../report/architecture.rst",
            category="1 Method: Figures 1 to 3",
            subcategory="Figures",
            labels={"file": "Figure 3: segmentation network"},
        ),
        figure3_pdf="<paper>/figures/figure3.pdf",
        record="<provenance>/records/draw_architecture.json",
    log:
        "<logs>/draw_architecture.log",
    benchmark:
        "<benchmarks>/draw_architecture.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        encoder=lookup("encoders/main/name", within=config),
        transfer=lookup("transfer", within=config),
        unet=lookup("segment/training/unet", within=config),
        slices=lookup("slices", within=config),
        code=fingerprint("draw_architecture"),
    script:
        "../scripts/draw_architecture.py"


rule draw_figure4:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
    output:
        png=report(
            "<paper>/figures/figure4.png",
            caption="../report/figure4.rst",
            category="2 Grey scales: Figure 4",
            subcategory="Figures",
            labels={"file": "Figure 4: the styles"},
        ),
        pdf="<paper>/figures/figure4.pdf",
        record="<provenance>/records/draw_figure4.json",
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


rule draw_style_space:
    input:
        styles="<styles>/styles.tsv",
    output:
        png=report(
            "<paper>/figures/style_space.png",
            caption="../report/style_space.rst",
            category="2 Grey scales: Figure 4",
            subcategory="Figures",
            labels={"file": "style space"},
        ),
        pdf="<paper>/figures/style_space.pdf",
        record="<provenance>/records/draw_style_space.json",
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
            category="3 Style transfer: Figures 5 and 6, Table 1",
            subcategory="Figures",
            labels={"file": "Figure 5: outputs of the methods"},
        ),
        pdf="<paper>/figures/figure5.pdf",
        record="<provenance>/records/draw_figure5.json",
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
            category="3 Style transfer: Figures 5 and 6, Table 1",
            subcategory="Figures",
            labels={"file": "Figure 6: several styles from single targets"},
        ),
        pdf="<paper>/figures/figure6.pdf",
        record="<provenance>/records/draw_figure6.json",
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


rule make_table1:
    input:
        transfer=of_models("<metrics>/transfer/{model}-seed{seed}.tsv"),
        diversity=of_models("<metrics>/transfer/{model}-seed{seed}.diversity.tsv"),
        cis=of_models("<metrics>/cis/{model}-seed{seed}.tsv"),
        classifier="<metrics>/classifier/inception.json",
        weights=main_weights("json"),
        trunk=lpips_trunk("json"),
    output:
        csv=report(
            "<paper>/tables/table1.csv",
            caption="../report/table1.rst",
            category="3 Style transfer: Figures 5 and 6, Table 1",
            subcategory="Tables",
            labels={"file": "Table 1"},
        ),
        md="<paper>/tables/table1.md",
        tex="<paper>/tables/table1.tex",
        record="<provenance>/records/make_table1.json",
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
        intervals=lookup("paper/intervals", within=config),
        code=fingerprint("make_table1"),
    script:
        "../scripts/make_table1.py"


rule draw_figure7:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        predictions=of_arms("<segmentation>/{arm}/seed{seed}/predictions.npy", first_seed=True),
    output:
        png=report(
            "<paper>/figures/figure7.png",
            caption="../report/figure7.rst",
            category="4 Segmentation: Figure 7, Table 2",
            subcategory="Figures",
            labels={"file": "Figure 7: segmentations"},
        ),
        pdf="<paper>/figures/figure7.pdf",
        record="<provenance>/records/draw_figure7.json",
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


rule draw_augmented:
    input:
        hu="<augmented>/{arm}/seed{seed}.hu.npy",
        labels="<augmented>/{arm}/seed{seed}.labels.npy",
        rows="<augmented>/{arm}/seed{seed}.tsv",
    output:
        png=report(
            "<paper>/figures/augmented_{arm}-seed{seed}.png",
            caption="../report/augmented.rst",
            category="4 Segmentation: Figure 7, Table 2",
            subcategory="Augmented slices",
            labels={"augmentation": "{arm}"},
        ),
        pdf="<paper>/figures/augmented_{arm}-seed{seed}.pdf",
        record="<provenance>/records/draw_augmented/{arm}-seed{seed}.json",
    log:
        "<logs>/draw_augmented/{arm}-seed{seed}.log",
    benchmark:
        "<benchmarks>/draw_augmented/{arm}-seed{seed}.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        slices=lookup("slices", within=config),
        code=fingerprint("draw_augmented"),
    script:
        "../scripts/draw_augmented.py"


rule make_table2:
    input:
        segmentation=of_arms("<metrics>/segmentation/{arm}-seed{seed}.tsv"),
        weights=main_weights("json"),
        trunk=lpips_trunk("json"),
    output:
        csv=report(
            "<paper>/tables/table2.csv",
            caption="../report/table2.rst",
            category="4 Segmentation: Figure 7, Table 2",
            subcategory="Tables",
            labels={"file": "Table 2"},
        ),
        md="<paper>/tables/table2.md",
        tex="<paper>/tables/table2.tex",
        tests=report(
            "<paper>/tables/tests.csv",
            caption="../report/tests.rst",
            category="4 Segmentation: Figure 7, Table 2",
            subcategory="Tables",
            labels={"file": "tests, harm in style, patients needed"},
        ),
        tests_md="<paper>/tables/tests.md",
        tests_tex="<paper>/tables/tests.tex",
        png=report(
            "<paper>/figures/ranks.png",
            caption="../report/ranks.rst",
            category="4 Segmentation: Figure 7, Table 2",
            subcategory="Figures",
            labels={"file": "ranks of the arms"},
        ),
        pdf="<paper>/figures/ranks.pdf",
        record="<provenance>/records/make_table2.json",
    log:
        "<logs>/make_table2.log",
    benchmark:
        "<benchmarks>/make_table2.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        facts=run_facts(),
        intervals=lookup("paper/intervals", within=config),
        margin_points=lookup("paper/margin_points", within=config),
        slices=lookup("slices", within=config),
        code=fingerprint("make_table2"),
    script:
        "../scripts/make_table2.py"


rule make_ablations:
    input:
        segmentation=of_ablations("segmentation.tsv"),
        structure=of_ablations("structure.tsv"),
        painted=of_ablations("painted.tsv"),
        weights=main_weights("json"),
        trunk=lpips_trunk("json"),
    output:
        csv=report(
            "<paper>/tables/ablations.csv",
            caption="../report/ablations.rst",
            category="4 Segmentation: Figure 7, Table 2",
            subcategory="What drives it",
            labels={"file": "table of ablations"},
        ),
        md="<paper>/tables/ablations.md",
        tex="<paper>/tables/ablations.tex",
        png=ablation_pictures(),
        pdf=ablation_files("pdf"),
        record="<provenance>/records/make_ablations.json",
    log:
        "<logs>/make_ablations.log",
    benchmark:
        "<benchmarks>/make_ablations.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        facts=run_facts(),
        small=ABLATIONS.scale,
        asked=ABLATIONS.frame.to_dict("records"),
        slices=lookup("slices", within=config),
        code=fingerprint("make_ablations"),
    script:
        "../scripts/make_ablations.py"


rule print_paper_tables:
    output:
        table1=report(
            "<paper>/tables/table1_printed.csv",
            caption="../report/table1_printed.rst",
            category="3 Style transfer: Figures 5 and 6, Table 1",
            subcategory="Tables",
            labels={"file": "the paper's own Table 1"},
        ),
        table2=report(
            "<paper>/tables/table2_printed.csv",
            caption="../report/table2_printed.rst",
            category="4 Segmentation: Figure 7, Table 2",
            subcategory="Tables",
            labels={"file": "the paper's own Table 2"},
        ),
        others=collect("<paper>/tables/table{number}_printed.{form}", number=[1, 2], form=["md", "tex"]),
        record="<provenance>/records/print_paper_tables.json",
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


rule draw_encoders:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        hu=figure_hu,
        rows=figure_rows,
    output:
        png=report(
            "<paper>/figures/{figure}.png",
            caption="../report/encoders.rst",
            category="5 Encoders and layers: Figures 8 and 9, Table 3",
            subcategory="Outputs of the encoders",
            labels=figure_labels,
        ),
        pdf="<paper>/figures/{figure}.pdf",
        record="<provenance>/records/draw_encoders/{figure}.json",
    log:
        "<logs>/draw_encoders/{figure}.log",
    benchmark:
        "<benchmarks>/draw_encoders/{figure}.tsv"
    wildcard_constraints:
        figure="figure8|figure9",
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        encoders=figure_encoders(),
        size_px=lookup("comparison/size_px", within=config),
        slices=lookup("slices", within=config),
        code=fingerprint("draw_encoders"),
    script:
        "../scripts/draw_encoders.py"


rule write_viewer:
    input:
        split="<styles>/split.tsv",
        slices=all_slices(),
        hu=shown_outputs("test.hu.npy"),
        rows=shown_outputs("test.tsv"),
        predictions=of_arms("<segmentation>/{arm}/seed{seed}/predictions.npy", first_seed=True),
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
        trainings=shown_trainings().to_dict("records"),
        arms=lookup("segment/arms", within=config),
        size_px=lookup("comparison/size_px", within=config),
        slices=lookup("slices", within=config),
        files=file_digests(viewer_text()),
        code=fingerprint("write_viewer"),
    script:
        "../scripts/write_viewer.py"


rule make_table3:
    input:
        scores=compared("encoders", "scores.tsv"),
        about=compared_about(),
        layers=described("layers.tsv"),
        weights=main_weights("json"),
        trunk=lpips_trunk("json"),
    output:
        csv=report(
            "<paper>/tables/table3.csv",
            caption="../report/table3.rst",
            category="5 Encoders and layers: Figures 8 and 9, Table 3",
            subcategory="Tables",
            labels={"file": "Table 3"},
        ),
        md="<paper>/tables/table3.md",
        tex="<paper>/tables/table3.tex",
        taps=report(
            "<paper>/tables/taps.csv",
            caption="../report/taps.rst",
            category="5 Encoders and layers: Figures 8 and 9, Table 3",
            subcategory="Tables",
            labels={"file": "taps of all encoders"},
        ),
        taps_md="<paper>/tables/taps.md",
        taps_tex="<paper>/tables/taps.tex",
        record="<provenance>/records/make_table3.json",
    log:
        "<logs>/make_table3.log",
    benchmark:
        "<benchmarks>/make_table3.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        facts=run_facts(),
        compared=compared_facts(),
        stride=lookup("transfer/warm_up/stride", within=config),
        intervals=lookup("paper/intervals", within=config),
        code=fingerprint("make_table3"),
    script:
        "../scripts/make_table3.py"


rule make_sweep:
    input:
        sweep=compared("sweep", "scores.tsv"),
        lists=compared("layers", "scores.tsv"),
        taps=main_weights("taps.json"),
        weights=main_weights("json"),
        trunk=lpips_trunk("json"),
    output:
        csv=report(
            "<paper>/tables/sweep.csv",
            caption="../report/sweep.rst",
            category="5 Encoders and layers: Figures 8 and 9, Table 3",
            subcategory="Tables",
            labels={"file": "style weights"},
        ),
        md="<paper>/tables/sweep.md",
        tex="<paper>/tables/sweep.tex",
        lists=report(
            "<paper>/tables/lists.csv",
            caption="../report/lists.rst",
            category="5 Encoders and layers: Figures 8 and 9, Table 3",
            subcategory="Tables",
            labels={"file": "layer lists"},
        ),
        lists_md="<paper>/tables/lists.md",
        lists_tex="<paper>/tables/lists.tex",
        png=report(
            "<paper>/figures/sweep.png",
            caption="../report/sweep.rst",
            category="5 Encoders and layers: Figures 8 and 9, Table 3",
            subcategory="Figures",
            labels={"file": "style weights"},
        ),
        pdf="<paper>/figures/sweep.pdf",
        record="<provenance>/records/make_sweep.json",
    log:
        "<logs>/make_sweep.log",
    benchmark:
        "<benchmarks>/make_sweep.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        facts=run_facts(),
        compared=compared_facts(),
        intervals=lookup("paper/intervals", within=config),
        slices=lookup("slices", within=config),
        code=fingerprint("make_sweep"),
    script:
        "../scripts/make_sweep.py"


rule draw_layer_choice:
    input:
        layers=described("layers.tsv"),
        taps=described("taps.json"),
    output:
        png=report(
            "<paper>/figures/layer_choice.png",
            caption="../report/layer_choice.rst",
            category="5 Encoders and layers: Figures 8 and 9, Table 3",
            subcategory="Figures",
            labels={"file": "choice of layers"},
        ),
        pdf="<paper>/figures/layer_choice.pdf",
        record="<provenance>/records/draw_layer_choice.json",
    log:
        "<logs>/draw_layer_choice.log",
    benchmark:
        "<benchmarks>/draw_layer_choice.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        slices=lookup("slices", within=config),
        code=fingerprint("draw_layer_choice"),
    script:
        "../scripts/draw_layer_choice.py"


rule print_errata:
    output:
        csv=report(
            "<paper>/tables/errata.csv",
            caption="../report/errata.rst",
            category="6 Claims and errata",
            subcategory="Tables",
            labels={"file": "errata of the paper"},
        ),
        md="<paper>/tables/errata.md",
        tex="<paper>/tables/errata.tex",
        record="<provenance>/records/print_errata.json",
    log:
        "<logs>/print_errata.log",
    benchmark:
        "<benchmarks>/print_errata.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        code=fingerprint("print_errata"),
    script:
        "../scripts/print_errata.py"


rule make_claims:
    input:
        table1="<paper>/tables/table1.csv",
        table2="<paper>/tables/table2.csv",
        table3="<paper>/tables/table3.csv",
        sweep="<paper>/tables/sweep.csv",
        costs="<paper>/tables/costs.csv",
        layers="<paper>/tables/lists.csv",
        transfer=collect("<metrics>/transfer/ours-seed{seed}.tsv", seed=config["seeds"]),
    output:
        csv=report(
            "<paper>/tables/claims.csv",
            caption="../report/claims.rst",
            category="6 Claims and errata",
            subcategory="Tables",
            labels={"file": "claims of the paper"},
        ),
        md="<paper>/tables/claims.md",
        tex="<paper>/tables/claims.tex",
        record="<provenance>/records/make_claims.json",
    log:
        "<logs>/make_claims.log",
    benchmark:
        "<benchmarks>/make_claims.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        code=fingerprint("make_claims"),
    script:
        "../scripts/make_claims.py"


rule draw_training_curves:
    input:
        warm_up=of_seeds(main_warm_up("history.tsv")),
        transfer=of_trained("<transfer>/{model}/seed{seed}/history.tsv"),
        unet=of_arms("<segmentation>/{arm}/seed{seed}/history.tsv"),
    output:
        png=report(
            "<paper>/figures/training.png",
            caption="../report/training_curves.rst",
            category="7 Training curves, costs, environment",
            subcategory="Figures",
            labels={"file": "training curves"},
        ),
        pdf="<paper>/figures/training.pdf",
        record="<provenance>/records/draw_training_curves.json",
    log:
        "<logs>/draw_training_curves.log",
    benchmark:
        "<benchmarks>/draw_training_curves.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        models=trained_models(),
        arms=lookup("segment/arms", within=config),
        slices=lookup("slices", within=config),
        code=fingerprint("draw_training_curves"),
    script:
        "../scripts/draw_training_curves.py"


rule make_costs:
    input:
        outputs=of_models("<transfer>/{model}/seed{seed}/test.cost.json", first_seed=True),
        warm_up=collect(main_warm_up("cost.json"), seed=config["seeds"][:1]),
        trainings=collect("<transfer>/{model}/seed{seed}/cost.json", model=trained_models(), seed=config["seeds"][:1]),
        compared=compared("encoders", "cost.json"),
    output:
        csv=report(
            "<paper>/tables/costs.csv",
            caption="../report/costs.rst",
            category="7 Training curves, costs, environment",
            subcategory="Tables",
            labels={"file": "costs"},
        ),
        md="<paper>/tables/costs.md",
        tex="<paper>/tables/costs.tex",
        record="<provenance>/records/make_costs.json",
    log:
        "<logs>/make_costs.log",
    benchmark:
        "<benchmarks>/make_costs.tsv"
    conda:
        "../envs/ctstyle.yaml"
    threads: 1
    params:
        models=lookup("transfer/models", within=config),
        trained=trained_models(),
        compared=compared_trainings("encoders"),
        code=fingerprint("make_costs"),
    script:
        "../scripts/make_costs.py"


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
        facts=run_facts(),
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
        config=public_config(),
        code=fingerprint("print_environment"),
    script:
        "../scripts/print_environment.py"


rule print_paper:
    input:
        tables=paper_tables(["csv", "md"]),
        figures=paper_figures(["png"]),
        layers=main_weights("layers.png"),
        answer="<paper>/answer.md",
        root="<provenance>/root.json",
        weights=main_weights("json"),
        trunk=lpips_trunk("json"),
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
        config=public_config(),
        facts=run_facts(),
        files=file_digests(paper_text()),
        code=fingerprint("print_paper"),
    script:
        "../scripts/print_paper.py"


rule rebuild_paper:
    input:
        final_files(),
        "<paper>/paper.pdf",
        "<provenance>/SHA256SUMS",
