"""The hedger's command line: ask for positions, profit and fills, and book what was executed elsewhere."""
