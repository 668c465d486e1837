"""The emulator profile's queue: the official Pub/Sub emulator, wired by `pipeline.yaml`, and a scheduler beside it."""
