"""What every process has in common. Knows no service."""
