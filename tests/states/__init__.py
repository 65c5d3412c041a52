"""States as released versions left them."""
