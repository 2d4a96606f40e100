"""Venues on loopback that speak the real protocols, with a known truth and faults on demand.

`world.py` is the pure core (prices, oracle, books, periods; seeded, time as an argument), each venue's protocol is a
file of its own without sockets (`bybit.py`, `coinbase.py`, `gamma.py`, `clob.py`, `market_channel.py`, `polybolt.py`,
`rtds.py`), `faults.py` spoils what they say, and `server_io.py` puts them on a port.
"""
