"""The version of scratchac."""

__version__ = "0.2.0"
