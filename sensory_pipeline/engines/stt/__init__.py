"""Engines that find what was said."""
