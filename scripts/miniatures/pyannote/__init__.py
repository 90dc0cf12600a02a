"""A miniature speaker diarization pipeline in pyannote.audio 4's folder format."""
