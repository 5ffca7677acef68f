"""Ray is imported here once, and never started."""

import warnings

with warnings.catch_warnings():
    # Of libraries that Ray uses, as old as they were made for it.
    warnings.simplefilter("ignore", DeprecationWarning)
    from ray import serve as ray_serve

assert ray_serve
