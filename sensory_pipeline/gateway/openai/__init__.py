"""OpenAI's audio API, for programs that were written for it (docs/service.md)."""
