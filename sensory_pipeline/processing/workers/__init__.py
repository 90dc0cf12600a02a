"""Supervised engine processes."""
