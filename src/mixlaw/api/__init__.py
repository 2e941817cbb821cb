"""The verbs as functions: what the command line does, for Python."""
