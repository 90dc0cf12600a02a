"""Engines that find how something was said."""
