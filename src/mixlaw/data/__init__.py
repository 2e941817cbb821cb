"""Conversations in, token rows out: reading, chat templates, splitting, counting, sampling, writing mixtures."""
