"""Recorder: the bus onto disk."""
