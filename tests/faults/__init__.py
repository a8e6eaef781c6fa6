"""Services, their state store, their bus and their destinations broken while rows are on their way."""
