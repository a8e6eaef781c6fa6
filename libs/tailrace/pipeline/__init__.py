"""The walk of a row from the warehouse to its outcome, a step a module."""
