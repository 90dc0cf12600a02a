"""A miniature Whisper: 64 dimensions, 2 heads, 3 encoder and 2 decoder layers, English and Russian."""
