"""The command line, settings, and the wiring of each process. Nobody imports this package but its own parts."""
