"""Analyzers: market data in, signals out. One estimator a file, one analyzer object a market, one process a kind."""
