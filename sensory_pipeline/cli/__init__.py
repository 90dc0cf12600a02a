"""`sensory ...`: one module a command."""

from sensory_pipeline.cli.app import main

__all__ = ["main"]
