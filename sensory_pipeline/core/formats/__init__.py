"""Results of one recording as JSON and as text."""
