"""From simple to general: what every operation is called with. The first rung that fails is a diagnosis of its own."""
