"""Everything that starts runs and looks after them."""
