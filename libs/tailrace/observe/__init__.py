"""What Tailrace says about itself: log fields, the closed list of metrics, traces."""
