"""Looks after dead letters: triage, brake, statistics, replay, retention and alerts."""
