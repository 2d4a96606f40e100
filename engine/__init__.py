"""The engine inside somebody else's Python loop; `mm_engine` at the top level is its door."""
