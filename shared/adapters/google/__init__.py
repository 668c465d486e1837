"""Documents on Firestore, objects on Cloud Storage, topics on Pub/Sub, services on Cloud Run: the official clients.

Importing a module here imports no client library: those cost a function's cold start and are loaded by the first call.
Firestore, Pub/Sub and Cloud Run are spoken through the libraries' generated transports, one call for one RPC: no
background threads, no batching, and the only retries are those of `errors.retried`.
"""
