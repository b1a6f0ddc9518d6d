"""The grey-scale styles of a cohort and the split of its patients."""
