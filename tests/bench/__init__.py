"""Benchmarks: ratios against a baseline measured in the same run. `make bench` prints them; no test asserts a time."""
