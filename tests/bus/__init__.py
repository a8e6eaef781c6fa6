"""The bus: one contract for both carriers, the relay, the reading loop and the forms of events."""
