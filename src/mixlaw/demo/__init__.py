"""The bundled example: a mix.yaml, three domains of conversations and a tiny base model. Data, no code."""
