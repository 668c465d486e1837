"""The HTTP API, without the server that runs it: routes, bodies, representations."""
