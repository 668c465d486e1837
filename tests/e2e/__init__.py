"""The whole stack as real processes, used as a person or an app uses it."""
