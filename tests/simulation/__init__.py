"""The engine in a world of its own: virtual time, everything that can fail fails by seed, and what must hold then."""
