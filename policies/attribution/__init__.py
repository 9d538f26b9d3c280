"""Who earned a conversion: journeys of touches, and models that share credit out among them."""
