"""Engines that find who spoke when."""
