"""Sink: writes mm_quotes.json and mm_status.json, and enforces the lease of a quote."""
