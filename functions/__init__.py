"""One folder per stage: `main.py` and `requirements.txt`, nothing else (ADR 0001)."""
