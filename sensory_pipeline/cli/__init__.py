"""`sensory ...`: one module a command."""

from __future__ import annotations


def main() -> None:
    """Run the command line; its modules are imported here, because each engine process imports this one."""
    from sensory_pipeline.cli.app import main as run

    run()
