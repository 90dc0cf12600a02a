"""Miniature models: the production engines' formats at a size for tests, trained on espeak-ng speech.

They know a few dozen words, the voices and the four manners of speaking of `voices`, and nothing else. They are test
fixtures and never offered to users as models.
"""
