"""The object server: signed URLs, the Cloud Storage JSON API, notifications and the drop folder, over local files."""
