"""The published contracts, by their examples and by what their public clients send."""
