"""ctstyle: contextual style transfer for the grey scales of spine CT, from DICOM files to the finished paper.

The rooms follow the data: dicom -> cohorts -> slices -> styles -> encoders -> transfer -> augment -> segment ->
metrics -> paper. Imports point down that flow only. `errors`, `settings`, `fit`, `device`, `job` and `provenance`
are the tools every room uses.
"""

import gc
import sys

if hasattr(sys.modules["__main__"], "snakemake"):
    # the script of a job: nothing it imports is garbage, and looking for some takes a sixth of importing torch;
    # `ctstyle.job` turns the collector on
    gc.disable()

__version__ = "0.1.0"
