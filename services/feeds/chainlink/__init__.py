"""The settlement source: Chainlink prices as Polymarket relays them."""
