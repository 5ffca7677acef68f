"""Turn a trained model into a recipe and its variants, without a recipe by hand."""
