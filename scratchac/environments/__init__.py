"""Environments: how they are made, checked, stepped together and restored; pictures, games, spaces."""
