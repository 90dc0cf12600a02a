"""Diarization on the CPU with ONNX Runtime."""
