"""Write the sheet of scans from an archive: `python -m ctstyle.sheet DIR > config/my_scans.tsv` (docs/own-data.md).

Headers are read, nothing is copied or changed. Of a patient only a digest of the identifier is kept while the command
runs, to tell patients apart; what is printed holds paths, UIDs of series and masks, and acquisition tags.
"""
