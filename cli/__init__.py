"""The `maskline` command."""
