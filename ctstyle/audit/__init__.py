"""Is a folder of results what its records say? Checked with Python's standard library alone (docs/provenance.md).

    python -m ctstyle.audit results/paper/tables/table2.csv

The records are read as they lie, never trusted: a damaged or foreign one is a finding like any other. Nothing here
imports numpy, pandas, yaml, pydicom, torch or Snakemake, so an auditor needs Python, this package and the results.
"""
