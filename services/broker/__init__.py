"""Broker: forwards every message, and keeps the last value of each topic for whoever joins late."""
