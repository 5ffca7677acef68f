"""What is done to a graph that came as a file, so that it has the form in which this room works on graphs."""
