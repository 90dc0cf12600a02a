"""The engines: speech to text, diarization and emotion, with their models and devices."""
