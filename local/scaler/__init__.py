"""Cloud Run's part on one machine: inference processes between zero and N, as many as the pushes need."""
