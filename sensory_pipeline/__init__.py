"""Turns recordings into SQL tables of words, speakers and emotions."""
