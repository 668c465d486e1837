"""The domain and its ports: no torch, no pixels, no Google clients at import.

Everything that decides (states, leases, routing of errors) is a pure function here; everything that touches the
world comes in through `shared.ports`.
"""
