"""The chassis of a service: settings, lifecycle, HTTP client and health."""
