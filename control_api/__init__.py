"""The sections of docs/CONTROL-API.md that are made of the schema of the API."""
