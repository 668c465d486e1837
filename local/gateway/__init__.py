"""The one public port of the local profile: the page, the samples, the API and uploads under one origin."""
