"""How good scores are: metrics with intervals, the ensemble and its calibration, controls, comparisons."""
