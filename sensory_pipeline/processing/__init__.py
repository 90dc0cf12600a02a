"""Recordings through engines: what to do for each, the engine processes, and the runs over partitions."""
