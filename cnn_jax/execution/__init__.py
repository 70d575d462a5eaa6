"""One run on disk: its directory, its rows, its parameters, its end. `execute` puts them together."""
