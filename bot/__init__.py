"""The whole system on one machine: command line, supervisor, panel."""
