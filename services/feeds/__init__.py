"""Feeds: one process a venue, publishing normalized market data."""
