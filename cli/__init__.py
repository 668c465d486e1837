"""`maskline`: the command line. One module per command; `main` picks."""
