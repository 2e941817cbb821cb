"""The folder of runs: what is planned, what is done, who is at work."""
