"""What the author of a connector needs: interfaces, HTTP, secrets, manifests and the registry."""
