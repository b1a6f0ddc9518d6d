"""ctstyle: contextual style transfer for the grey scales of spine CT, from DICOM files to the finished paper.

Rooms in the order the data flows: errors, study, provenance, audit, run, ct, cohorts, sheet, slices, measures,
encoders, transfer, segment, paper, apply. A module imports its own room and those before it.
"""

__version__ = "0.1.0"
