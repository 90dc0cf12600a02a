"""Scripts that make samples, test models, pages of docs/ and pictures."""
