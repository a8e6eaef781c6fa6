"""Rows, asked for over the API while executors carry them."""
