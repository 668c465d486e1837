"""Adapters: the ports of `shared.ports` over real things."""
