"""The HTTP face of Tailrace: API contracts, management API, console and OpenAPI document."""
