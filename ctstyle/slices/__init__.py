"""From a scan to labelled slices in Hounsfield units on one grid."""
