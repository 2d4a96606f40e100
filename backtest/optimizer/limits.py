"""How small a search may be."""

from __future__ import annotations

MIN_TRAIN_PERIODS = 20  # fewer say nothing about a mean
MIN_EXPLORED = 10  # trials that are placed without looking at results
