"""Values and rules without input or output, shared by all other packages."""
