"""What a run does with a partition."""
