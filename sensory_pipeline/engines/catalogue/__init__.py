"""The models this project knows: where they come from, and how they are fetched and verified."""
