"""What somebody may try who means no good: S1 to S24 of the threat model."""
