"""`metarun advise`: a fair small tournament of backbones and strategies on validation tasks; test is never read."""
