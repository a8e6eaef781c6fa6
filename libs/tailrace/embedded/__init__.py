"""Tailrace on one machine: PostgreSQL and the bus in the box, and the demo."""
