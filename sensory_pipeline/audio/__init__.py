"""Decodes recordings of any format to 16-bit PCM at 16 kHz."""
