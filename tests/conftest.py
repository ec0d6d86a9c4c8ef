"""Makes what the tests share (toys.py, laws.py) importable from every folder of them."""
