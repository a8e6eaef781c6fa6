"""Destinations that are declared: a manifest says how a vendor's HTTP API works, one engine does it."""
