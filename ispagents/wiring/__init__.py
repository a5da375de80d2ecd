"""One file a process: reads the settings, opens what the process needs, and runs it. Nobody imports these."""
