"""Recorded and simulated time: the same cores, driven by events instead of by sockets."""
