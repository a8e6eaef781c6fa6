"""Other open tools at the same work: the same table, the same sink, the same rows a request, in the same rounds."""
