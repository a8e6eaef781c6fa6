"""The gateway, over real HTTP on a real PostgreSQL."""
