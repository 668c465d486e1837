"""Benchmarks: each explains what limits it, prints a table for people, and ends in one JSON line for programs."""
