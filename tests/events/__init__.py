"""The events: their schemas, the documents made from them, and what may change between releases."""
