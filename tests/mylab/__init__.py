"""A user's own package: a rule and its configs, outside of metarun. METARUN_CONF and METARUN_TRUST bring it in."""
