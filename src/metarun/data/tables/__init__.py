"""Tables of people and things: numbers, categories and holes, which a model reads as numbers."""
