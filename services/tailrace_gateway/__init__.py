"""The HTTP face of Tailrace: API contracts, management API, OpenAPI document and its page."""
