"""Mechanisms switched off one at a time: each has to be missed by a test."""
