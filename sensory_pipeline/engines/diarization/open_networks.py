"""The two networks of diarization that need no token, by their names in the catalogue."""

from __future__ import annotations

SEGMENTATION, EMBEDDING = "segmentation-3.0", "campplus"

FILES = {SEGMENTATION: "pytorch_model.bin", EMBEDDING: "campplus_cn_en_common.pt"}
"""The file with the weights of each."""
