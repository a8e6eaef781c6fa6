"""Hours of kills and faults under load; `make soak` runs it and stops by itself."""
