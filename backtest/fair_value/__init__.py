"""Our fair value against recorded markets: scores, calibration, and what the recordings cannot decide."""
