"""Executor: paper execution. Orders that follow the quotes and fill against the real book and trades."""
