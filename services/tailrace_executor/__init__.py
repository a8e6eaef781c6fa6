"""Claims queued runs and walks their rows to the destination."""
