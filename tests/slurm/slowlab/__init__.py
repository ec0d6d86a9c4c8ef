"""A user's package with a method whose steps can be seen and slowed down from outside."""
