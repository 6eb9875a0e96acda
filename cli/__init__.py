"""The command line: Typer commands, and all rendering in one file. No arithmetic."""
