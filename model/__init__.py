"""Learn and generate: tokenizers, training, differential privacy, sampling and generation. No Beam."""

if __name__ != "linesmith.model":
    raise ImportError("this package has no name of its own: import linesmith.model")
