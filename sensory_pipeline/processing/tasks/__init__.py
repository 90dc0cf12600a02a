"""One stage of one recording."""
