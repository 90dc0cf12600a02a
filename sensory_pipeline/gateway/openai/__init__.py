"""OpenAI's audio API on the service, for programs that are written for it (docs/service.md)."""
