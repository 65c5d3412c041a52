"""Benchmarks: each measures the product against a peer, in one run on one machine, and shows the ratio."""
