"""The command line, one module per verb, thin over the library; only here is anything printed."""

from edgehybrid.cli.root import main

__all__ = ["main"]
