"""The whole chain on one machine: what `counterweight demo` does."""
