"""Everything that Tailrace keeps in PostgreSQL, one repository per noun."""
