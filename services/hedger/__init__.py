"""Hedger: owns the positions and answers queries about them."""
