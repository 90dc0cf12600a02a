"""The service: the same engines, asked over HTTP (docs/service.md)."""
