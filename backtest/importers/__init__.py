"""Recordings of other makes as events: one module for each, all listed in `detect_io.py`; and what is concluded where
a recording is silent.
"""
