"""The HTTP service, which uses the same engines as the pipeline (docs/service.md)."""
