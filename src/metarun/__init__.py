"""metarun: learning that adapts. One protocol for transfer, online, adaptive and meta-learning."""

__version__ = "0.1.0"
