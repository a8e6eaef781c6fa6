"""Admits run requests, fires schedules and takes back the leases of the dead."""
