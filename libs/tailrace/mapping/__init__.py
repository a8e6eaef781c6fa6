"""From a row's cells to the values of fields: templates, casts, hashes, what fields take, and checks of all that."""
