"""Services killed, frozen and stopped while they work, and what their sources, sinks and stores then hold."""
